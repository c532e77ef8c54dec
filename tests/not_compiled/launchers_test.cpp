// The launchers of a build without CUDA.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/adamw.hpp"
#include "kernels/add_table.hpp"
#include "kernels/causal_softmax.hpp"
#include "kernels/combine.hpp"
#include "kernels/gated_activation.hpp"
#include "kernels/gather.hpp"
#include "kernels/launch.hpp"
#include "kernels/operands.hpp"
#include "kernels/pack_signs.hpp"
#include "kernels/pack_values.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rotary.hpp"
#include "kernels/row_gradients.hpp"
#include "kernels/row_values.hpp"
#include "kernels/sample_loss.hpp"
#include "kernels/scatter.hpp"
#include "kernels/split_gradient.hpp"
#include "kernels/unpack_weight.hpp"

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

TEST(NotCompiled, NoLauncherTakesWorkThatItCannotDo) {
  using enum kernels::cudaError_t;
  EXPECT_EQ(kernels::adamw({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::add_tables({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::causal_softmax({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::causal_softmax_gradient({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::codes_operand({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::combine({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::gather({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::gated_activation({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::gated_activation_gradient({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::pack_codes({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::pack_latents({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::rms_norm({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::rms_norm_gradient({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::rotate({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::row_gradients({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::row_values({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::sample_loss({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::sample_loss_gradient({}, nullptr, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::scatter({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::signs_operand({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::split_gradient({}, nullptr), cudaErrorNotSupported);
  EXPECT_EQ(kernels::unpack_weight({}, nullptr), cudaErrorNotSupported);
}

}  // namespace
}  // namespace bitmill
