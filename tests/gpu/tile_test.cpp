// kernels/tile.hpp and simt.hpp, as the GPU does them: what the emulator takes them to be.

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/tile_checks.hpp"

namespace bitmill::probe {
namespace {

class TileOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  }
};

TEST_F(TileOnGpu, HalvesAreMultipliedInTheLayoutOfThePtxIsa) {
  check_halves<DeviceArray>(Product::bf16);
  check_halves<DeviceArray>(Product::f16);
}
TEST_F(TileOnGpu, BitsAreCountedInTheLayoutOfThePtxIsa) {
  check_bits<DeviceArray>(Product::b1_and);
  check_bits<DeviceArray>(Product::b1_xor);
}
TEST_F(TileOnGpu, BytesAreSigned) { check_dot_bytes<DeviceArray>(); }
TEST_F(TileOnGpu, LateCopiesArriveWithTheirGroup) { check_late_copies<DeviceArray>(); }
TEST_F(TileOnGpu, SixteenBytesAreOneAccess) { check_16_bytes<DeviceArray>(); }
TEST_F(TileOnGpu, RoundingToBfloat16IsToNearestEven) { check_rounding<DeviceArray>(); }
TEST_F(TileOnGpu, LanesExchangeAsCudaSays) { check_collectives<DeviceArray>(); }

}  // namespace
}  // namespace bitmill::probe
