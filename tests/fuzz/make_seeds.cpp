// make_seeds SEEDS TESTS: the inputs that fuzzing begins with, one folder per target below SEEDS.
// Made by the project's own writers and from its own test data in TESTS, so that they follow the
// formats.

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/claim.hpp"
#include "checkpoint/frontier_files.hpp"
#include "checkpoint/run_dir.hpp"
#include "data/token_text.hpp"
#include "format/packed_linear.hpp"
#include "format/safetensors_writer.hpp"
#include "fuzz/folder_text.hpp"
#include "memory_files.hpp"

namespace bitmill::fuzz {
namespace {

using nlohmann::json;

// Everything below `path` in memory, by names relative to it.
void collect(MemoryFiles& files, const std::string& path, const std::string& prefix,
             Folder& folder) {
  for (const std::string& name : files.list(path)) {
    const std::string inner = join_path(path, name);
    if (files.is_directory(inner)) {
      collect(files, inner, prefix + name + "/", folder);
    } else {
      folder[prefix + name] = files.get(inner);
    }
  }
}

class Seeds {
 public:
  Seeds(Files& disk, std::string place) : disk_(disk), place_(std::move(place)) {}

  void add(const std::string& target, const std::string& name, const std::string& input) {
    const std::string folder = join_path(place_, target);
    disk_.make_directories(folder);
    const auto file = disk_.create(join_path(folder, name));
    file->append(std::as_bytes(std::span(input)));
    file->close();
  }
  void add_folder(const std::string& target, const std::string& name, MemoryFiles& files,
                  const std::string& path) {
    Folder folder;
    collect(files, path, "", folder);
    add(target, name, folder_text(folder));
  }
  // TESTS/WHERE/*/NAME as it is, where it is small.
  void add_test_data(const std::string& target, const std::string& where, const std::string& name) {
    constexpr int64_t small = 1 << 14;
    for (const std::string& folder : disk_.list(where)) {
      const std::string path = join_path(join_path(where, folder), name);
      if (!disk_.exists(path) || disk_.open(path)->size() > small) continue;
      add(target, folder, read_text(disk_, path));
    }
  }

 private:
  Files& disk_;
  const std::string place_;
};

TensorSource tensor(const std::string& name, Dtype dtype, std::vector<int64_t> shape) {
  TensorSource source{name, dtype, std::move(shape), {}};
  source.produce = [bytes = source.bytes()](const ByteSink& sink) {
    sink(std::vector<std::byte>(bytes));
  };
  return source;
}

void add_tensor_files(Seeds& seeds) {
  MemoryFiles files;
  write_safetensors(files, "/a",
                    {tensor("a.weight", Dtype::float32, {2, 3}), tensor("b", Dtype::float16, {5}),
                     tensor("c", Dtype::bfloat16, {}), tensor("d", Dtype::int64, {0, 4})},
                    {{"format", "pt"}});
  seeds.add("safetensors", "several", files.get("/a"));
  for (const bool windows : {false, true}) {
    Tokens tokens{{1, 2, 3, 4, 5, 999}, windows ? 2 : 0, windows ? 3 : 0};
    write_token_file(files, "/t", tokens);
    seeds.add("token_file", windows ? "windows" : "text", files.get("/t"));
  }
  seeds.add("shard_index", "two",
            R"({"metadata": {"total_size": 4}, "weight_map": {"t": "a.safetensors", )"
            R"("u": "b.safetensors"}})");
  seeds.add("text_file", "lines", "{\"text\": \"ab\"}\n\n{\"text\": \"b a\", \"n\": 1}\n");
  seeds.add("corpus", "lines", "{\"text\": \"abab\"}\n\n{\"text\": \"abba\", \"n\": 1}\n");
  seeds.add("corpus", "texts", "abab ba\n<|endoftext|>\nab ab ab ab ab\n\nab<|endoftext|>aa bb ab");
}

// Two letters and their merge, in each of the forms that folders hold.
void add_tokenizers(Seeds& seeds) {
  const std::string config =
      R"({"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "add_bos_token": true, )"
      R"("added_tokens_decoder": {"3": {"content": "<s>", "special": true}}})";
  seeds.add("tokenizer_folder", "merges",
            folder_text({{"vocab.json", R"({"a": 0, "b": 1, "ab": 2})"},
                         {"merges.txt", "#version: 0.2\na b\n"},
                         {"tokenizer_config.json", config},
                         {"added_tokens.json", R"({"<x>": 4})"},
                         {"special_tokens_map.json",
                          R"({"additional_special_tokens": ["<x>"], "bos_token": "<s>"})"}}));
  seeds.add("tokenizer_model", "tiktoken", "YQ== 0\nYg== 1\nYWI= 2\n");
  // ModelProto: pieces (text, score, type), trainer_spec (BPE), normalizer_spec (a space is put
  // before the text, none is removed, all are escaped).
  const auto field = [](char key, const std::string& bytes) {
    return std::string{key, static_cast<char>(bytes.size())} + bytes;
  };
  const auto piece = [&](const std::string& text, char type) {
    return field(0x0A, field(0x0A, text) + std::string("\x15\0\0\0\0", 5) + '\x18' + type);
  };
  std::string model = piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3);
  for (const char* text : {"\xE2\x96\x81", "a", "b", "ab"}) model += piece(text, 1);
  seeds.add(
      "tokenizer_model", "sentencepiece",
      model + field(0x12, "\x18\x02") + field(0x1A, std::string("\x18\x01\x20\0\x28\x01", 6)));
}

// The linear of the worked example in src/format/FORMAT.md.
std::vector<TensorSource> small_model() {
  const PackedLinear linear{2,
                            5,
                            2,
                            {5, 2},
                            {0xf0, 0x2a},
                            {0x12},
                            {0x58},
                            {0x3c00, 0x3800},
                            {0x3400, 0},
                            {0x3c00, 0x4000, 0x3c00},
                            {0x3000, 0x2c00}};
  auto tensors = packed_tensors("model.layers.0.mlp.up_proj.weight",
                                std::make_shared<const PackedLinear>(linear));
  tensors.push_back(tensor("model.norm.weight", Dtype::bfloat16, {5}));
  return tensors;
}

void add_packed_folders(Seeds& seeds) {
  for (const int64_t shard_bytes : {1000, 30}) {
    MemoryFiles files;
    files.put("/m/config.json",
              R"({"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "ptq161", )"
              R"("version": 1, "bitmill": {}}})");
    files.put("/m/tokenizer.json", "{}");
    write_shards(files, "/m", small_model(), {{"format", "pt"}}, shard_bytes);
    seeds.add_folder("packed_folder", shard_bytes > 100 ? "one" : "shards", files, "/m");
  }
}

void add_run_folders(Seeds& seeds) {
  MemoryFiles files;
  files.make_directories("/w");
  const auto claim =
      Claim::take(files, "/w", {"host", 7, "88", "m", "1", "token"}, {}, [](auto&) {});
  RunDir dir(files, *claim);
  const json fingerprint = {
      {"model", {{"blocks", 2}}}, {"max_blocks", 0}, {"epochs", 4}, {"lag", 2}};
  dir.begin({fingerprint.dump(), {"cpu class"}});
  claim->record_start(0);
  claim->beat();
  dir.events().append(R"({"block": 0, "turn": 0, "epoch": 0, "loss": 1.5, "seconds": 0.25})");
  dir.write_live({0, 1, 3}, small_model());
  seeds.add_folder("run_folder", "live", files, "/w");
  dir.keep_source(0, {{"a.weight", "0123"}});
  dir.write_packed(0, 0, false, small_model());
  dir.write_packed(0, 1, true, small_model());
  dir.events().append(R"({"block": 0, "event": "packed", "bits_per_weight": 1.9})");
  FrontierFiles streams(files, *claim);
  std::vector<TensorSource> samples = small_model();
  for (size_t sample = 0; sample < samples.size(); ++sample) {
    samples[sample].name = std::to_string(sample);
  }
  streams.write_part("student-0001.0", packed_chain(dir.state(), 1, 0), 0, samples);
  RunDir(files, *claim, 1).events().append(R"({"block": 1, "epoch": 0, "loss": 2.5})");
  dir.set_aside(0, 1);
  seeds.add_folder("run_folder", "packed", files, "/w");
  dir.abandon("a reason");
  claim->release("failed");
  seeds.add_folder("run_folder", "failed", files, "/w");
  dir.finish();
  seeds.add_folder("run_folder", "done", files, "/w");
}

// What clients send; the first byte chooses the path.
void add_requests(Seeds& seeds) {
  seeds.add("api_request", "harness",
            "0"
            R"({"model":"m","prompt":[[1,2],[3]],"temperature":0,"max_tokens":1,"logprobs":1,)"
            R"("seed":1234,"echo":true})");
  seeds.add("api_request", "stream",
            "0"
            R"({"prompt":"a","stop":["b"],"stream":true,"stream_options":)"
            R"({"include_usage":true},"top_p":0.9,"top_k":5,"min_p":0.1,"repetition_penalty":1.1,)"
            R"("n":1,"logit_bias":{},"presence_penalty":0})");
  seeds.add("api_request", "chat",
            "1"
            R"({"messages":[{"role":"user","content":"a","name":"b"}],"logprobs":true,)"
            R"("top_logprobs":2,"max_completion_tokens":3,"tools":[],"response_format":)"
            R"({"type":"text"}})");
  seeds.add("api_request", "tokenize",
            "2"
            R"({"prompt":"a","add_special_tokens":false})");
  seeds.add("api_request", "detokenize",
            "3"
            R"({"tokens":[1,2,3],"model":null})");
}

}  // namespace
}  // namespace bitmill::fuzz

int main(int count, char** words) {
  using namespace bitmill;
  if (count != 3) return 2;
  const auto disk = posix_files();
  const std::string tests = words[2];
  fuzz::Seeds seeds(*disk, words[1]);
  try {
    fuzz::add_tensor_files(seeds);
    fuzz::add_tokenizers(seeds);
    fuzz::add_packed_folders(seeds);
    fuzz::add_run_folders(seeds);
    fuzz::add_requests(seeds);
    seeds.add_test_data("model_config", join_path(tests, "golden/models"), "config.json");
    seeds.add_test_data("tokenizer_json", join_path(tests, "golden/tokenizers"), "tokenizer.json");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_seeds: %s\n", error.what());
    return 1;
  }
  return 0;
}
