#include "kernels/pack_values.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/pack_values_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class PackValues : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(PackValues, EveryOddShapeEqualsThePlainLoopsInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_all_of_pack_values<DeviceArray>();
  }
}

TEST_F(PackValues, OneRowOfEachByHand) {
  EXPECT_EQ(pack_latents_on_device<DeviceArray>({float32, 1, 4, 16, {-1, 0, NAN, 3}}),
            std::vector<uint32_t>{0b1010});
  EXPECT_EQ(
      pack_codes_on_device<DeviceArray>({float32, 1, 9, 16, {1, 2, 3, 4, 5, 6, 7, 15, 9}, {0}}),
      (std::vector<uint32_t>{0xF7654321, 0x9}));
}

TEST_F(PackValues, SizesThatAreNotAsSaidAreRefused) {
  kernels::PackLatents latents{};
  latents.low = -1;
  EXPECT_EQ(kernels::pack_latents(latents, nullptr), kernels::cudaErrorInvalidValue);
  kernels::PackCodes codes{};
  codes.salient = 33;
  for (const int64_t stride : {32, 40}) {
    codes.stride = stride;
    EXPECT_EQ(kernels::pack_codes(codes, nullptr), kernels::cudaErrorInvalidValue) << stride;
  }
}

// What is packed is read once, words are written once.
TEST_F(PackValues, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  const SignsCase signs = make_signs_case(float32, 64, 3277);
  expect_few_sectors([&] { pack_latents_on_device<DeviceArray>(signs); },
                     {64 * 3277 * 4, std::ssize(signs.words()) * 4});
  const CodesCase codes = make_codes_case(float32, 64, 1639);
  expect_few_sectors([&] { pack_codes_on_device<DeviceArray>(codes); },
                     {64 * 1664, std::ssize(codes.words()) * 4});
}

}  // namespace
}  // namespace bitmill
