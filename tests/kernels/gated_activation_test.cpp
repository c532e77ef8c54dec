#include "kernels/gated_activation.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/gated_activation_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;
using enum kernels::Activation;

class GatedActivation : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(GatedActivation, EveryOddShapeIsNearTheFormulasInFloat64InEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_activation<DeviceArray>();
  }
}

TEST_F(GatedActivation, ReluByHand) {
  const ActivationCase problem{float32, relu, 4, true, {-1, 0, 2, NAN}, {5, 5, 5, 5}, {3, 3, 3, 3}};
  const ActivationOut got = activation_on_device<DeviceArray>(problem);
  EXPECT_EQ(first_difference(got.out, {0, 0, 10, NAN}), "");
  EXPECT_EQ(got.of_gate, (std::vector<float>{0, 0, 15, 0}));
  EXPECT_EQ(first_difference(got.of_up, {0, 0, 6, NAN}), "");
}

// exp(-x) overflows for the first.
TEST_F(GatedActivation, LargeInputsStayFinite) {
  for (const kernels::Activation activation : {silu, gelu, gelu_tanh}) {
    const ActivationCase problem{float32, activation, 2, false, {-200, 200}, {0, 0}, {1, 1}};
    const ActivationOut got = activation_on_device<DeviceArray>(problem);
    EXPECT_EQ(got.out[0], 0);
    EXPECT_EQ(got.out[1], 200);
    EXPECT_EQ(got.of_gate[0], 0);
    EXPECT_EQ(got.of_gate[1], 1);
  }
}

TEST_F(GatedActivation, HalfOfASecondBranchIsRefused) {
  float place = 0;
  kernels::GatedActivationGradient task{};
  task.of_up = &place;
  EXPECT_EQ(kernels::gated_activation_gradient(task, nullptr), kernels::cudaErrorInvalidValue);
}

// Forward two arrays are read and one is written, backward three and two.
TEST_F(GatedActivation, SectorsAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const ActivationCase problem = make_activation_case(element, silu, 10'000);
    const std::vector<int64_t> arrays(8, 10'000 * kernels::bytes_of(element));
    expect_few_sectors([&] { activation_on_device<DeviceArray>(problem); }, arrays);
  }
}

}  // namespace
}  // namespace bitmill
