// Logits against those of the transformers library: tests/golden/models/make_golden.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "format/tensor_folder.hpp"
#include "model/block_forward.hpp"
#include "model/one_thread.hpp"
#include "model/source_model.hpp"

namespace bitmill {
namespace {

const std::string golden_folder = BITMILL_SOURCE_DIR "/tests/golden/models/";

struct Golden {
  std::vector<int32_t> ids;   // [T]
  std::vector<int32_t> rows;  // positions whose logits are known
  at::Tensor logits;          // [rows, vocab]
};

Golden read_golden(Files& files, const std::string& name) {
  const SafetensorsFile file(files, golden_folder + name + ".golden.safetensors");
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
at::Tensor compute_logits(const SourceModel& model, const std::vector<int32_t>& ids,
                          ThreadPool& pool) {
  const Rotary rotary = make_rotary(model.config(), std::ssize(ids));
  at::Tensor x = model.embed(ids);
  for (int64_t block = 0; block < model.config().blocks; ++block) {
    x = dense_block_forward(model.config(), model.load_block(block), rotary, x, pool);
  }
  return head_logits(model.config(), model.load_head(), x, pool);
}

void expect_golden_logits(const std::string& name, const std::string& folder) {
  const auto files = posix_files();
  const Golden golden = read_golden(*files, name);
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const at::Tensor logits = compute_logits(SourceModel(*files, folder), golden.ids, pool);
  ASSERT_GT(golden.rows.size(), 0U);
  const float tolerance = 1e-4F * golden.logits.abs().max().item<float>();
  for (size_t i = 0; i < golden.rows.size(); ++i) {
    const at::Tensor difference = logits[golden.rows[i]] - golden.logits[static_cast<int64_t>(i)];
    EXPECT_LT(difference.abs().max().item<float>(), tolerance) << "position " << golden.rows[i];
  }
}

TEST(GoldenLogits, GroupedQueriesOwnHeadAndShardsInBfloat16) {
  expect_golden_logits("untied-gqa", golden_folder + "untied-gqa");
}

TEST(GoldenLogits, TiedHeadAndOneKeyPerQueryInFloat16) {
  expect_golden_logits("tied-mha", golden_folder + "tied-mha");
}

TEST(GoldenLogits, Books2M) {
  expect_golden_logits("books-2M", BITMILL_SOURCE_DIR "/tests/data/books-2M");
}

TEST(GoldenLogits, Stories260K) {
  const std::string folder = BITMILL_SOURCE_DIR "/../shared/models/stories260K";
  if (!posix_files()->is_directory(folder)) GTEST_SKIP() << folder << " is not here";
  expect_golden_logits("stories260K", folder);
}

}  // namespace
}  // namespace bitmill
