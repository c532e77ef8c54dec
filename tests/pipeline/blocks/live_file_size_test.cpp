#include "pipeline/blocks/live_file_size.hpp"

#include <gtest/gtest.h>

#include "base/files.hpp"
#include "model/config.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {
namespace {

class LiveFileSize : public testing::Test {
 protected:
  LiveFileSize() { test::write_config(*files_, folder_.path(), test::tiny_config()); }
  ModelConfig config() { return read_model_config(*files_, folder_.path()); }

  const std::unique_ptr<Files> files_ = posix_files();
  const test::ScratchFolder folder_;
  QuantizeOptions options_;
};

// By hand, of the tiny model's seven linears: rows, and columns of which floor(0.2 x) + 1 are
// salient.
TEST_F(LiveFileSize, CountsLearnedValuesMomentsAndStatistics) {
  constexpr int64_t vectors = 57 + 33 + 33 + 43 + 49 + 49 + 39;  // 2 x rows + binary columns
  constexpr int64_t latents = 216 + 108 + 108 + 228 + 180 + 180 + 180;
  constexpr int64_t channels = 12 + 12 + 12 + 24 + 12 + 12 + 20;
  EXPECT_EQ(live_file_bytes(options_, config()), 12 * vectors + 4 * channels);
  options_.method.learned.signs = true;
  EXPECT_EQ(live_file_bytes(options_, config()), 12 * (vectors + latents) + 4 * channels);
  options_.half_latents = true;
  EXPECT_EQ(live_file_bytes(options_, config()), 12 * vectors + 6 * latents + 4 * channels);
}

TEST_F(LiveFileSize, KeptLinearsHaveNoState) {
  const int64_t all = live_file_bytes(options_, config());
  options_.ignore = "layers\\.0\\.";
  EXPECT_EQ(live_file_bytes(options_, config()), all);  // block 1 is the larger one
  options_.ignore = "down_proj";
  EXPECT_EQ(live_file_bytes(options_, config()), all - 12 * 39);
}

// Twelve bytes a weight are far more than its packed bits: a trial of those alone would pass on a
// disk that cannot take the state.
TEST_F(LiveFileSize, ATrialSaveIsAsLongAsTheLongestFile) {
  constexpr int64_t packed = 1000;
  EXPECT_EQ(rehearsal_bytes(options_, config(), 1'000'000), 1'000'000);
  options_.method.learned.signs = true;
  const int64_t live = live_file_bytes(options_, config());
  EXPECT_EQ(rehearsal_bytes(options_, config(), packed), live);
  options_.half_latents = true;  // a stop in the middle of an epoch saves all bits
  EXPECT_EQ(rehearsal_bytes(options_, config(), packed), live);
  EXPECT_EQ(rehearsal_bytes(options_, config(), int64_t{1} << 40), most_rehearsed_bytes);
}

}  // namespace
}  // namespace bitmill
