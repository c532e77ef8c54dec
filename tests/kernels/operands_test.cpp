#include "kernels/operands.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/operands_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class Operands : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(Operands, EveryOddShapeEqualsThePlainLoopsInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_operands<DeviceArray>();
  }
}

TEST_F(Operands, OneRowOfSignsByHand) {
  const SignsCase problem{bfloat16, 1, 5, 16, {-0.5F, 0, -0.0F, 2, NAN}};
  std::vector<float> want(16, 0);
  want[0] = -1;
  want[1] = want[2] = want[3] = 1;
  want[4] = -1;
  EXPECT_EQ(signs_on_device<DeviceArray>(problem, false), want);
}

TEST_F(Operands, OneRowOfCodesByHand) {
  const CodesCase problem{bfloat16, 1, 3, 16, {0, 15, 8}, {8}};
  std::vector<float> want(16, 0);
  want[0] = -8;
  want[1] = 7;
  EXPECT_EQ(codes_on_device<DeviceArray>(problem), want);
}

TEST_F(Operands, StrideThatIsNoOperandsIsRefused) {
  kernels::SignsOperand signs{};
  signs.low = 40;
  signs.stride = 40;
  EXPECT_EQ(kernels::signs_operand(signs, nullptr), kernels::cudaErrorInvalidValue);
  kernels::CodesOperand codes{};
  codes.salient = 40;
  codes.stride = 32;
  EXPECT_EQ(kernels::codes_operand(codes, nullptr), kernels::cudaErrorInvalidValue);
}

// Latents or words are read once, the operand is written once.
TEST_F(Operands, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const int64_t rows = 64, size = kernels::bytes_of(element);
    const SignsCase signs = make_signs_case(element, rows, 3277);
    const int64_t operand = rows * signs.stride * size;
    expect_few_sectors([&] { signs_on_device<DeviceArray>(signs, false); },
                       {rows * 3277 * 4, operand});
    expect_few_sectors([&] { signs_on_device<DeviceArray>(signs, true); },
                       {std::ssize(signs.words()) * 4, operand});
    const CodesCase codes = make_codes_case(element, rows, 1639);
    expect_few_sectors([&] { codes_on_device<DeviceArray>(codes); },
                       {std::ssize(codes.words()) * 4, rows * 4, rows * codes.stride * size});
  }
}

}  // namespace
}  // namespace bitmill
