// Logits against those of the transformers library: tests/golden/models/make_golden.py and
// make_families.py.

#include <gtest/gtest.h>

#include "model/golden_files.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using test::Golden;

const std::string golden_folder = BITMILL_SOURCE_DIR "/tests/golden/models/";

void expect_golden_logits(const std::string& name, const std::string& folder) {
  const auto files = posix_files();
  const Golden golden = test::read_golden(*files, golden_folder + name + ".golden.safetensors");
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const at::Tensor logits = test::compute_logits(SourceModel(*files, folder), golden.ids, pool);
  ASSERT_GT(golden.rows.size(), 0U);
  const float tolerance = 1e-5F * golden.logits.abs().max().item<float>();
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

class GoldenFamily : public testing::TestWithParam<const char*> {};

TEST_P(GoldenFamily, GivesTheLogitsOfTransformers) {
  expect_golden_logits(GetParam(), golden_folder + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenFamily, testing::ValuesIn(test::golden_families),
                         [](const auto& tested) { return test::test_name(tested.param); });

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
