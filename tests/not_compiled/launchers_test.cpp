// The launchers of a build without CUDA.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/launch.hpp"
#include "kernels/pack_signs.hpp"

namespace bitmill {
namespace {

TEST(NotCompiled, ALauncherSaysHowToGetOneAndTouchesNothing) {
  EXPECT_FALSE(kernels::compiled());
  const std::vector<float> weight(40), mean(1);
  const std::vector<int32_t> columns(33);
  std::vector<uint32_t> words(2, 7);
  const kernels::PackSigns task{
      weight.data(), mean.data(), columns.data(), words.data(), 1, 40, 33};
  const kernels::cudaError_t error = kernels::pack_signs(task, nullptr);
  EXPECT_EQ(error, kernels::cudaErrorNotSupported);
  EXPECT_NE(std::string(kernels::error_text(error)).find("--preset cuda"), std::string::npos);
  EXPECT_EQ(words, std::vector<uint32_t>(2, 7));
}

}  // namespace
}  // namespace bitmill
