#pragma once
// Packed linears and packed folders with random contents.

#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "format/packed_seal.hpp"
#include "format/safetensors_writer.hpp"
#include "temp_folder.hpp"

namespace bitmill {

// A stream of numbers for one test object.
class RandomNumbers {
 public:
  explicit RandomNumbers(uint64_t seed) : seed_(seed) {}
  uint64_t below(uint64_t bound) {
    return random_below(seed_, RandomPurpose::test_data, next_++, bound);
  }
  // float16 bits of a number in [-1, 1).
  uint16_t half() {
    return float_to_half(2 * random_unit(seed_, RandomPurpose::test_data, next_++) - 1);
  }

 private:
  const uint64_t seed_;
  uint64_t next_ = 0;
};

// The numbers of a packed linear, one per element.
struct UnpackedLinear {
  std::vector<int> salient;  // [cols]
  std::vector<int> sign;     // [rows, cols], -1 or +1, in low columns
  std::vector<int> code;     // [rows, cols], 0 .. 15, in salient columns
  std::vector<int> zero;     // [rows]
};

inline std::pair<PackedLinear, UnpackedLinear> random_linear(int64_t rows, int64_t cols,
                                                             int64_t salient_cols, uint64_t seed) {
  RandomNumbers random(seed);
  PackedLinear packed;
  packed.rows = rows;
  packed.cols = cols;
  packed.salient_cols = salient_cols;
  const int64_t sign_words = packed::words_for(cols - salient_cols, packed::bits_per_word);
  const int64_t code_words = packed::words_for(salient_cols, packed::codes_per_word);
  packed.signs.resize(rows * sign_words);
  packed.codes.resize(rows * code_words);
  packed.mask.resize(packed::words_for(cols, packed::bits_per_word));
  packed.code_zero.resize(packed::words_for(rows, packed::codes_per_word));
  UnpackedLinear plain{std::vector<int>(cols), std::vector<int>(rows * cols),
                       std::vector<int>(rows * cols), std::vector<int>(rows)};
  for (int64_t left = salient_cols; left > 0;) {
    int& chosen = plain.salient[random.below(cols)];
    if (chosen == 0) --left;
    chosen = 1;
  }
  for (int64_t col = 0; col < cols; ++col) {
    if (plain.salient[col] != 0) packed::set_bit(packed.mask.data(), col);
  }
  for (int64_t row = 0; row < rows; ++row) {
    int64_t low = 0, salient = 0;
    for (int64_t col = 0; col < cols; ++col) {
      const int code = static_cast<int>(random.below(16)), sign = code < 8 ? -1 : 1;
      if (plain.salient[col] != 0) {
        plain.code[row * cols + col] = code;
        packed::set_code(packed.codes.data() + row * code_words, salient++, code);
      } else {
        plain.sign[row * cols + col] = sign;
        if (sign > 0) packed::set_bit(packed.signs.data() + row * sign_words, low);
        ++low;
      }
    }
    plain.zero[row] = static_cast<int>(random.below(16));
    packed::set_code(packed.code_zero.data(), row, plain.zero[row]);
    packed.row_scale.push_back(random.half());
    packed.row_mean.push_back(random.half());
    packed.code_scale.push_back(random.half());
  }
  for (int64_t low = 0; low < cols - salient_cols; ++low) packed.col_gain.push_back(random.half());
  return {packed, plain};
}

inline TensorSource halves(const std::string& name, std::vector<int64_t> shape, uint64_t seed,
                           Dtype dtype = Dtype::float16) {
  TensorSource source{name, dtype, std::move(shape), {}};
  source.produce = [bytes = source.bytes(), seed](const ByteSink& sink) {
    RandomNumbers random(seed);
    std::vector<std::byte> data;
    while (std::ssize(data) < bytes) {
      const uint16_t bits = random.half();
      data.push_back(static_cast<std::byte>(bits & 0xFF));
      data.push_back(static_cast<std::byte>(bits >> 8));
    }
    sink(data);
  };
  return source;
}

constexpr const char* packed_config =
    R"({"hidden_size": 33, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-05,
        "quantization_config": {"quant_method": "ptq161", "version": 1, "bitmill": {"seed": 0}}})";

// Two blocks of two linears with odd shapes, an embedding in bfloat16 and a norm in float16.
struct PackedModel {
  TempFolder folder;
  std::map<std::string, PackedLinear> linears;
  std::vector<TensorSource> tensors;

  explicit PackedModel(int64_t max_shard_bytes = 1 << 20) {
    uint64_t seed = 1;
    tensors.push_back(halves("model.embed_tokens.weight", {7, 33}, seed++, Dtype::bfloat16));
    for (const char* block : {"model.layers.0.", "model.layers.11."}) {
      tensors.push_back(halves(block + std::string("input_layernorm.weight"), {33}, seed++));
      add(block + std::string("mlp.down_proj.weight"), 33, 67, 14, seed++);
      add(block + std::string("self_attn.q_proj.weight"), 13, 33, 7, seed++);
    }
    folder.write("tokenizer.json", "{\"tokens\": []}");
    write(max_shard_bytes);
  }

  void write(int64_t max_shard_bytes) const {
    write_shards(*posix_files(), folder.path(), tensors, {{"format", "pt"}}, max_shard_bytes);
    seal();
  }
  // Call it after a test has changed files, so that the later checks run, too.
  void seal() const {
    write_sealed_config(*posix_files(), folder.path(), nlohmann::json::parse(packed_config));
  }

 private:
  void add(const std::string& name, int64_t rows, int64_t cols, int64_t salient, uint64_t seed) {
    const PackedLinear& linear = linears[name] = random_linear(rows, cols, salient, seed).first;
    for (auto& part : packed_tensors(name, std::make_shared<PackedLinear>(linear))) {
      tensors.push_back(std::move(part));
    }
  }
};

}  // namespace bitmill
