// What a model and a recipe ask for, by hand.

#include "pipeline/checks/workload.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "format/safetensors_writer.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

// Of a block: 112 rows, 104 input channels, 79 of them binary; 1,200 signs and 384 codes.
class TinyWorkload : public testing::Test {
 protected:
  TinyWorkload() {
    test::write_config(*files_, folder_ / "model", test::tiny_config());
    config_ = read_model_config(*files_, folder_ / "model");
  }
  Workload work() const { return workload_of(options_, config_); }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  ModelConfig config_;
  QuantizeOptions options_;
};

TEST_F(TinyWorkload, EveryPartThatIsLearnedCounts) {
  const int64_t scales = 2 * 112 + 79;
  EXPECT_EQ(work().learned, scales);
  options_.method.learned.row_means = true;
  EXPECT_EQ(work().learned, scales + 112);
  options_.method.learned.code_scales = true;
  EXPECT_EQ(work().learned, scales + 2 * 112);
  options_.method.learned.signs = true;
  EXPECT_EQ(work().learned, scales + 2 * 112 + 1200);
}

TEST_F(TinyWorkload, TheStateOfABlockIsWhatItsFileTakes) {
  const int64_t scales = 3 * 4 * 303 + 4 * 104;
  EXPECT_EQ(work().state_bytes, scales);
  options_.ignore = std::string(1, '(');  // no expression: the checks of a run say so
  EXPECT_EQ(work().state_bytes, scales);
  options_.method.learned.signs = true;
  options_.half_latents = true;
  EXPECT_EQ(work().state_bytes, scales + 3 * 2 * 1200);
}

TEST_F(TinyWorkload, TheFirstTurnTakesStatisticsAndDescent) {
  options_.seq_len = 10;
  EXPECT_EQ(work().statistics_flops, 0);
  options_.method.int4_clip = true;  // of 12, 24, 12 and 20 channels
  EXPECT_EQ(work().statistics_flops, 2 * 68 * 10);
  EXPECT_EQ(work().descent_flops, 0);
  options_.method.init = Init::descent;  // of pairs of them
  EXPECT_EQ(work().statistics_flops, 2 * (144 + 576 + 144 + 400) * 10);
  EXPECT_EQ(work().descent_flops, 16 * (88 * 144 + 12 * 576 + 12 * 400));
}

TEST_F(TinyWorkload, TheUsualLengthOfASampleIsTheLongestThatTheModelTakes) {
  EXPECT_EQ(work().seq_len, 64);
  config_.window = 16;
  EXPECT_EQ(work().seq_len, 16);
}

TEST_F(TinyWorkload, WhatIsCopiedPassesThroughPiecesAndHeadersAreHeld) {
  EXPECT_EQ(work().header_bytes, 2 * 7 * 8 * 3000)
      << "of the tensors that two blocks are packed as";
  EXPECT_EQ(work().assembly_bytes, 31 * 12 * 2);
  config_.vocab_size = 10'000'000;
  EXPECT_EQ(work().assembly_bytes, bytes_per_piece);
}

// Linears write 112 values of a token and read 104; the largest is 24 x 12.
TEST_F(TinyWorkload, WhatAThreadNeedsForASample) {
  options_.seq_len = 10;
  EXPECT_EQ(work().activation_bytes, 13 * (112 + 104) * 10 / 4 * 4);
  EXPECT_EQ(work().product_bytes, 2 * 24 * 12 * 4);
}

TEST_F(TinyWorkload, StreamMemoryIsThatOfTheOptions) {
  options_.stream_memory = 7;
  EXPECT_EQ(work().stream_memory, 7);
}

}  // namespace
}  // namespace bitmill
