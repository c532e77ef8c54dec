// What a GPU does in a step, by hand.

#include "pipeline/checks/block_step.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "model/tiny_model.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

struct PartSum {
  double flops = 0, bytes = 0;
  int64_t calls = 0;
};

PartSum sum_of(const StepParts& parts, std::string_view name) {
  PartSum sum;
  for (const StepPart& part : parts) {
    if (part.name != name) continue;
    sum.flops += part.flops;
    sum.bytes += part.bytes;
    sum.calls += part.calls;
  }
  return sum;
}

// 12 channels, four query heads of 6 and two key heads, 20 in the middle; 112 rows, 104 input
// channels, 1,584 weights; 1,200 signs: 79 channels are low. Three tokens in bfloat16.
class TinyStep : public testing::Test {
 protected:
  TinyStep() {
    test::write_config(*files_, folder_ / "model", test::tiny_config());
    config_ = read_model_config(*files_, folder_ / "model");
  }
  BlockStep step() const {
    return block_step(config_, block_linears(config_, 0), method_, {.seq_len = 3});
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  ModelConfig config_;
  MethodSettings method_;
};

TEST_F(TinyStep, LinearsByHand) {
  const StepParts unit = step().unit;
  // Forward all weights; back the signs, and the codes of those that want a gradient of x.
  EXPECT_EQ(sum_of(unit, "products of linears").flops, 2 * 3 * (1584 + 1200 + 240));
  EXPECT_EQ(sum_of(unit, "products of linears").calls, 7 * 2 + 7 + 4);
  EXPECT_EQ(sum_of(unit, "gather").bytes, 2 * 2 * 3 * 104 + 7 * 4 * 3);
  EXPECT_EQ(sum_of(unit, "combine").bytes, 3 * 2 * 3 * 112);
  EXPECT_EQ(sum_of(unit, "split_gradient").bytes, 636 + 2 * 324 + 396 + 2 * 652 + 396);
  EXPECT_EQ(sum_of(unit, "scatter").bytes, 3 * 162 + 508 + 2 * 252 + 420);
  EXPECT_EQ(sum_of(step().forward, "products of linears").flops, 2 * 3 * 1584);
}

TEST_F(TinyStep, WhatLearnedSignsAddByHand) {
  const StepParts frozen = step().unit;
  EXPECT_EQ(sum_of(frozen, "copies of gradients").bytes, 0);
  EXPECT_EQ(sum_of(step().addition, "sums over a batch").bytes, 12 * (2 * 112 + 79));
  method_.learned.signs = true;
  const BlockStep learned = step();
  EXPECT_EQ(sum_of(learned.unit, "products of linears").flops -
                sum_of(frozen, "products of linears").flops,
            2 * 3 * 1200);
  EXPECT_EQ(sum_of(learned.unit, "gather").bytes - sum_of(frozen, "gather").bytes,
            2 * 3 * (104 + 79));
  EXPECT_EQ(sum_of(learned.unit, "copies of gradients").bytes, 8 * 1200);  // 9, 15 or 19 low ones
  EXPECT_EQ(sum_of(learned.step, "signs_operand").bytes, (4 + 2) * 1200);
  EXPECT_EQ(sum_of(learned.addition, "sums over a batch").bytes, 12 * (2 * 112 + 79 + 1200));
}

// One tile for each key head: 36 scores in all, of which 24 are seen.
TEST_F(TinyStep, AttentionByHand) {
  const BlockStep all = step();
  EXPECT_EQ(sum_of(all.forward, "causal_softmax").bytes, 4 * 24 + 2 * 36);
  EXPECT_EQ(sum_of(all.forward, "causal_softmax").calls, 2);
  EXPECT_EQ(sum_of(all.unit, "causal_softmax").bytes, 4 * 24 + 2 * 36);
  EXPECT_EQ(sum_of(all.unit, "causal_softmax_gradient").bytes, 2 * (4 * 24 + 2 * 36));
  EXPECT_EQ(sum_of(all.forward, "products of attention").flops, 2 * 2 * 36 * 6);
  EXPECT_EQ(sum_of(all.unit, "products of attention").flops, 7 * 2 * 36 * 6);
  // S and dP are written, P, P, dS and dS are read; 12 rows and 6 keys of 6; dK and dV add up.
  EXPECT_EQ(sum_of(all.unit, "products of attention").bytes,
            36 * (3 * 4 + 4 * 2) + 7 * 2 * (12 + 6) * 6 + 2 * 6 * 6 * 6);
  EXPECT_EQ(sum_of(all.unit, "rotate").bytes, 2 * sum_of(all.forward, "rotate").bytes);
  EXPECT_EQ(sum_of(all.forward, "rotate").bytes, 2 * 2 * 3 * (24 + 12));
}

TEST_F(TinyStep, TheRestOfTheBlockByHand) {
  const StepParts unit = step().unit;
  EXPECT_EQ(sum_of(unit, "rms_norm").bytes, 2 * 2 * 72);
  EXPECT_EQ(sum_of(unit, "rms_norm_gradient").bytes, 3 * 72);  // nothing is learned before one
  EXPECT_EQ(sum_of(unit, "gated_activation").bytes, 3 * 120);
  EXPECT_EQ(sum_of(unit, "gated_activation_gradient").bytes, 5 * 120);
  EXPECT_EQ(sum_of(unit, "residual sums").bytes, (6 + 6) * 72);
  EXPECT_EQ(sum_of(unit, "sample_loss").bytes, 3 * 72);
  EXPECT_EQ(sum_of(unit, "sample_loss_gradient").bytes, 4 * 72);
  EXPECT_EQ(sum_of(unit, "streams to elements").bytes, 3 * 36 * (4 + 2));
}

TEST_F(TinyStep, AFamilyWithoutGateAndRotationHasNone) {
  config_.family = find_family("OPTForCausalLM");
  const BlockStep all = step();
  EXPECT_EQ(sum_of(all.unit, "rotate").calls, 0);
  EXPECT_EQ(sum_of(all.unit, "rms_norm").calls, 0);
  EXPECT_EQ(sum_of(all.forward, "layer norms").bytes, 2 * (2 * 72 + 4 * 4 * 36));
  EXPECT_EQ(sum_of(all.forward, "gated_activation").bytes, 2 * 120);
  EXPECT_EQ(sum_of(all.unit, "residual sums").bytes, (6 + 3) * 72);
}

}  // namespace
}  // namespace bitmill
