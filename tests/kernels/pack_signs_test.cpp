#include "kernels/pack_signs.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/pack_signs_cases.hpp"

namespace bitmill {
namespace {

// What the kernel does, one word after the other.
std::vector<uint32_t> pack_on_host(const PackSignsCase& problem) {
  std::vector<uint32_t> words(problem.words());
  const kernels::PackSigns task = problem.task(words.data());
  for (int64_t index = 0; index < problem.words(); ++index) {
    words[index] = kernels::pack_signs_word(task, index);
  }
  return words;
}

TEST(PackSigns, EveryOddShapeEqualsThePlainLoop) {
  for (const PackSignsCase& problem : pack_signs_cases()) {
    EXPECT_EQ(pack_on_host(problem), pack_signs_reference(problem))
        << problem.rows << " x " << problem.cols << ", " << problem.low_cols << " low columns";
  }
}

TEST(PackSigns, OneRowByHand) {
  // Columns 0, 2, 3 against a mean of 1: below, equal, above.
  const PackSignsCase problem{1, 4, 3, {0.0F, 9.0F, 1.0F, 2.0F}, {1.0F}, {0, 2, 3}};
  EXPECT_EQ(pack_on_host(problem), std::vector<uint32_t>{0b110});
}

TEST(PackSigns, NotANumberPacksAsZero) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const PackSignsCase problem{1, 2, 2, {nan, 1.0F}, {0.0F}, {0, 1}};
  EXPECT_EQ(pack_on_host(problem), std::vector<uint32_t>{0b10});
}

TEST(PackSigns, LauncherOfABuildWithoutCudaSaysSoAndTouchesNothing) {
  if (kernels::compiled()) GTEST_SKIP() << "this build has the CUDA kernels";
  const PackSignsCase problem = make_pack_signs_case(1, 40, 33);
  std::vector<uint32_t> words(problem.words(), 7);
  const kernels::cudaError_t error = kernels::pack_signs(problem.task(words.data()), nullptr);
  EXPECT_EQ(error, kernels::cudaErrorNotSupported);
  EXPECT_NE(std::string(kernels::error_text(error)).find("--preset cuda"), std::string::npos);
  EXPECT_EQ(words, std::vector<uint32_t>(problem.words(), 7));
}

}  // namespace
}  // namespace bitmill
