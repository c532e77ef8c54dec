#include "pipeline/blocks/weights_ahead.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "model/tiny_model.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

TEST(WeightsAhead, TheNextBlockIsTheOneThatTheStageLoadsNext) {
  const Plan one = make_plan(3, 4, 2, 1, Walk::sweep);  // two bands on one stage
  EXPECT_EQ(block_after(one, 0, 0, 0), 1);
  EXPECT_EQ(block_after(one, 0, 1, 0), 2);
  EXPECT_EQ(block_after(one, 0, 2, 0), 0) << "the second band begins";
  EXPECT_EQ(block_after(one, 0, 2, 1), std::nullopt);
  const Plan two = make_plan(3, 4, 2, 2, Walk::wavefront);
  EXPECT_EQ(block_after(two, 1, 1, 0), 1) << "its next turn";
  EXPECT_EQ(block_after(two, 0, 0, 1), 2);
}

class WeightsAheadOfAModel : public testing::Test {
 protected:
  WeightsAheadOfAModel() {
    test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_));
  }

  static bool same(const BlockWeights& a, const BlockWeights& b) {
    if (a.linears.size() != b.linears.size()) return false;
    for (size_t i = 0; i < a.linears.size(); ++i) {
      if (!at::equal(a.linears[i], b.linears[i])) return false;
    }
    return at::equal(a.vectors.input_norm.weight, b.vectors.input_norm.weight);
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const nlohmann::json config_ = test::tiny_config();
};

TEST_F(WeightsAheadOfAModel, WhatIsReadAheadIsTheBlock) {
  const SourceModel model(*files_, folder_ / "model");
  WeightsAhead ahead(model);
  ahead.begin(1);
  ahead.begin(1);
  EXPECT_TRUE(same(ahead.take(1), model.load_block(1)));
  EXPECT_FALSE(same(model.load_block(0), model.load_block(1))) << "or this tests nothing";
  EXPECT_TRUE(same(ahead.take(1), model.load_block(1))) << "once more, not ahead";
}

TEST_F(WeightsAheadOfAModel, AnotherBlockThanTheOneUnderWayIsReadHere) {
  const SourceModel model(*files_, folder_ / "model");
  WeightsAhead ahead(model);
  ahead.begin(0);
  EXPECT_TRUE(same(ahead.take(1), model.load_block(1)));
  ahead.begin(1);
  EXPECT_TRUE(same(ahead.take(1), model.load_block(1)));
  ahead.begin(0);  // nobody takes it
}

}  // namespace
}  // namespace bitmill
