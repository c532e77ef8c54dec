#include "kernels/pack_signs.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/counted_sectors.hpp"
#include "kernels/pack_signs_cases.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;

// On the emulator. A word that the kernel does not write stays all ones.
std::vector<uint32_t> pack(const PackSignsCase& problem) {
  const DeviceArray<float> weight(problem.weight, "weight");
  const DeviceArray<float> mean(problem.mean, "mean");
  const DeviceArray<int32_t> columns(problem.columns, "columns");
  const DeviceArray<uint32_t> words(problem.words(), "words");
  const kernels::PackSigns task{weight.data(), mean.data(),  columns.data(),  words.data(),
                                problem.rows,  problem.cols, problem.low_cols};
  EXPECT_EQ(kernels::pack_signs(task, nullptr), kernels::cudaSuccess);
  return words.to_host();
}

class PackSigns : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(PackSigns, EveryOddShapeEqualsThePlainLoopInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    for (const PackSignsCase& problem : pack_signs_cases()) {
      EXPECT_EQ(pack(problem), pack_signs_reference(problem))
          << problem.rows << " x " << problem.cols << ", " << problem.low_cols
          << " low columns, seed " << seed;
    }
  }
}

TEST_F(PackSigns, BlocksMayRunBesideEachOther) {
  emulation::settings().workers = 4;
  const PackSignsCase problem = make_pack_signs_case(200, 3000, 2400);
  EXPECT_EQ(pack(problem), pack_signs_reference(problem));
}

TEST_F(PackSigns, OneRowByHand) {
  // Columns 0, 2, 3 against a mean of 1: below, equal, above.
  const PackSignsCase problem{1, 4, 3, {0.0F, 9.0F, 1.0F, 2.0F}, {1.0F}, {0, 2, 3}};
  EXPECT_EQ(pack(problem), std::vector<uint32_t>{0b110});
}

TEST_F(PackSigns, NotANumberPacksAsZero) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const PackSignsCase problem{1, 2, 2, {nan, 1.0F}, {0.0F}, {0, 1}};
  EXPECT_EQ(pack(problem), std::vector<uint32_t>{0b10});
}

TEST_F(PackSigns, NegativeSizeIsRefused) {
  const kernels::PackSigns task{nullptr, nullptr, nullptr, nullptr, -1, 4, 4};
  EXPECT_EQ(kernels::pack_signs(task, nullptr), kernels::cudaErrorInvalidValue);
}

// Every array once: weight, mean and columns read, words written.
TEST_F(PackSigns, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  const PackSignsCase problem = make_pack_signs_case(192, 4096, 3277);
  expect_few_sectors([&] { pack(problem); },
                     {192 * 4096 * 4, 192 * 4, 3277 * 4, problem.words() * 4});
}

}  // namespace
}  // namespace bitmill
