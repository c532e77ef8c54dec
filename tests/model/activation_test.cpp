#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>

#include "model/block_forward.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

constexpr std::array all_activations = {Activation::silu, Activation::relu, Activation::gelu,
                                        Activation::gelu_tanh};

at::Tensor tokens(int64_t count, int64_t width) {
  return 3 * at::sin(at::arange(count * width, at::kFloat) * 1.7).view({count, width});
}

TEST(ActivateByToken, ATokenHasTheSameBitsAloneAndAmongOthers) {
  for (const Activation activation : all_activations) {
    for (const int64_t width : {1, 16, 31, 33, 64, 172}) {
      const at::Tensor x = tokens(9, width);
      const at::Tensor together = activate_by_token(activation, x);
      EXPECT_EQ(together.sizes(), x.sizes());
      for (int64_t t = 0; t < x.size(0); ++t) {
        EXPECT_TRUE(
            activate_by_token(activation, x.narrow(0, t, 1)).equal(together.narrow(0, t, 1)))
            << name_of(activation) << ", width " << width << ", token " << t;
      }
    }
  }
}

TEST(ActivateByToken, ItIsTheActivation) {
  for (const Activation activation : all_activations) {
    const at::Tensor x = tokens(5, 37);
    const at::Tensor gap = activate_by_token(activation, x) - activate(activation, x);
    EXPECT_LT(gap.abs().max().item<float>(), 1e-6) << name_of(activation);
  }
}

// Why it is there. When this fails, libtorch has changed, and activate() may be enough.
TEST(ActivateByToken, LibtorchsOwnDependsOnTheNumberOfTokens) {
  const at::Tensor x = tokens(9, 31);
  const at::Tensor together = activate(Activation::silu, x);
  bool differs = false;
  for (int64_t t = 0; t < x.size(0); ++t) {
    differs =
        differs || !activate(Activation::silu, x.narrow(0, t, 1)).equal(together.narrow(0, t, 1));
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace bitmill
