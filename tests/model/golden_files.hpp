#pragma once
// The golden models of tests/golden/models, and their known logits.

#include <ATen/ATen.h>

#include <array>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "format/tensor_folder.hpp"
#include "model/block_forward.hpp"
#include "model/source_model.hpp"

namespace bitmill::test {

// One or two of every family. make_families.py makes them.
inline constexpr std::array golden_families = {"llama-biases", "llama-3", "mistral",      "qwen2",
                                               "qwen3",        "opt",     "opt-post-norm"};

// The name in the form that gtest allows for a parameter.
inline std::string test_name(std::string name) {
  std::erase(name, '-');
  return name;
}

struct Golden {
  std::vector<int32_t> ids;   // [T]
  std::vector<int32_t> rows;  // positions whose logits are known
  at::Tensor logits;          // [rows, vocab]
};

inline Golden read_golden(Files& files, const std::string& path) {
  const SafetensorsFile file(files, path);
  Golden golden;
  golden.ids.resize(file.info("input_ids").elements());
  golden.rows.resize(file.info("rows").elements());
  golden.logits = at::empty(file.info("logits").shape, at::kFloat);
  file.read(file.info("input_ids"), std::as_writable_bytes(std::span(golden.ids)));
  file.read(file.info("rows"), std::as_writable_bytes(std::span(golden.rows)));
  const std::span logits(golden.logits.data_ptr<float>(), golden.logits.numel());
  file.read(file.info("logits"), std::as_writable_bytes(logits));
  return golden;
}

// [T, vocab]
inline at::Tensor compute_logits(const SourceModel& model, const std::vector<int32_t>& ids,
                                 ThreadPool& pool) {
  const Rotary rotary = make_rotary(model.config(), std::ssize(ids));
  at::Tensor x = model.embed(ids);
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    x = dense_block_forward(model.config(), model.load_block(block), rotary, x, pool);
  }
  return head_logits(model.config(), model.load_head(), x, pool);
}

}  // namespace bitmill::test
