#pragma once
// Small LLaMA folders for tests: random weights from a fixed seed, and a folder that is removed
// after the test.

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/random.hpp"
#include "format/safetensors_writer.hpp"

namespace bitmill::test {

// A folder of this test alone, removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "bitmill-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// With grouped queries, a head_dim other than hidden / heads, and a head of its own (not tied).
inline nlohmann::json tiny_config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 12},
          {"intermediate_size", 20},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 6},
          {"vocab_size", 31},
          {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", false}};
}

inline TensorSource random_tensor(const std::string& name, std::vector<int64_t> shape,
                                  uint64_t seed, Dtype dtype = Dtype::float32) {
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  std::vector<float> values(elements);
  for (int64_t i = 0; i < elements; ++i) {
    values[i] = random_unit(seed, RandomPurpose::test_data, i) - 0.5F;
  }
  return {name, dtype, std::move(shape), [values, dtype](const ByteSink& sink) {
            std::vector<std::byte> raw(values.size() * dtype_bytes(dtype));
            from_float32(dtype, values, raw);
            sink(raw);
          }};
}

// Every tensor that `config` asks for, with the names of the LLaMA family. The names are written
// here a second time, so that a mistake in model/family.cpp is found.
inline std::vector<TensorSource> tiny_tensors(const nlohmann::json& config, uint64_t seed = 1) {
  const auto size = [&](const char* key) { return config.at(key).get<int64_t>(); };
  const int64_t hidden = size("hidden_size"), inner = size("intermediate_size");
  const int64_t head_dim = size("head_dim"), vocab = size("vocab_size");
  const int64_t query = size("num_attention_heads") * head_dim;
  const int64_t key_value = size("num_key_value_heads") * head_dim;

  std::vector<TensorSource> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors.push_back(random_tensor(name, std::move(shape), seed * 1000 + tensors.size()));
  };
  add("model.embed_tokens.weight", {vocab, hidden});
  for (int64_t block = 0; block < size("num_hidden_layers"); ++block) {
    const std::string prefix = fmt::format("model.layers.{}.", block);
    add(prefix + "input_layernorm.weight", {hidden});
    add(prefix + "self_attn.q_proj.weight", {query, hidden});
    add(prefix + "self_attn.k_proj.weight", {key_value, hidden});
    add(prefix + "self_attn.v_proj.weight", {key_value, hidden});
    add(prefix + "self_attn.o_proj.weight", {hidden, query});
    add(prefix + "post_attention_layernorm.weight", {hidden});
    add(prefix + "mlp.gate_proj.weight", {inner, hidden});
    add(prefix + "mlp.up_proj.weight", {inner, hidden});
    add(prefix + "mlp.down_proj.weight", {hidden, inner});
  }
  add("model.norm.weight", {hidden});
  if (!config.at("tie_word_embeddings").get<bool>()) add("lm_head.weight", {vocab, hidden});
  return tensors;
}

inline void write_config(Files& files, const std::string& folder, const nlohmann::json& config) {
  files.make_directories(folder);
  replace_file(files, join_path(folder, "config.json"), config.dump());
}

inline void write_model(Files& files, const std::string& folder, const nlohmann::json& config,
                        const std::vector<TensorSource>& tensors) {
  write_config(files, folder, config);
  write_safetensors(files, join_path(folder, "model.safetensors"), tensors, {});
}

}  // namespace bitmill::test
