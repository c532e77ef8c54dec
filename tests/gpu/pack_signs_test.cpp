#include "kernels/pack_signs.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/pack_signs_cases.hpp"

namespace bitmill {
namespace {

class PackSignsOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  }
};

std::vector<uint32_t> pack_on_gpu(const PackSignsCase& problem) {
  const DeviceArray<float> weight(problem.weight);
  const DeviceArray<float> mean(problem.mean);
  const DeviceArray<int32_t> columns(problem.columns);
  // Nonsense first: every word must be written, its unused bits as 0.
  const DeviceArray<uint32_t> words(std::vector<uint32_t>(problem.words(), 0xDEADBEEF));
  const kernels::PackSigns task{weight.data(), mean.data(),  columns.data(),  words.data(),
                                problem.rows,  problem.cols, problem.low_cols};
  cuda_check(kernels::pack_signs(task, nullptr), "pack_signs");
  return words.to_host();
}

TEST_F(PackSignsOnGpu, EveryOddShapeEqualsThePlainLoop) {
  for (const PackSignsCase& problem : pack_signs_cases()) {
    EXPECT_EQ(pack_on_gpu(problem), pack_signs_reference(problem))
        << problem.rows << " x " << problem.cols << ", " << problem.low_cols << " low columns";
  }
}

TEST_F(PackSignsOnGpu, AThousandBlocks) {
  const PackSignsCase problem = make_pack_signs_case(64'000, 1, 1);  // a word each
  EXPECT_EQ(pack_on_gpu(problem), pack_signs_reference(problem));
}

TEST(PackSignsLauncher, NegativeSizeIsRefusedBeforeAnythingIsLaunched) {
  const kernels::PackSigns task{nullptr, nullptr, nullptr, nullptr, -1, 4, 4};
  EXPECT_EQ(kernels::pack_signs(task, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace bitmill
