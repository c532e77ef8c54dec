// kernels/tile.hpp and simt.hpp, as the emulator does them.

#include <gtest/gtest.h>

#include "emulation/block/device_memory.hpp"
#include "kernels/tile_checks.hpp"

namespace bitmill::probe {
namespace {

using emulation::DeviceArray;

TEST(Tile, HalvesAreMultipliedInTheLayoutOfThePtxIsa) {
  check_halves<DeviceArray>(Product::bf16);
  check_halves<DeviceArray>(Product::f16);
}
TEST(Tile, BitsAreCountedInTheLayoutOfThePtxIsa) {
  check_bits<DeviceArray>(Product::b1_and);
  check_bits<DeviceArray>(Product::b1_xor);
}
TEST(Tile, BytesAreSigned) { check_dot_bytes<DeviceArray>(); }
TEST(Tile, LateCopiesArriveWithTheirGroup) { check_late_copies<DeviceArray>(); }
TEST(Tile, SixteenBytesAreOneAccess) { check_16_bytes<DeviceArray>(); }
TEST(Tile, RoundingToBfloat16IsToNearestEven) { check_rounding<DeviceArray>(); }
TEST(Tile, LanesExchangeAsCudaSays) { check_collectives<DeviceArray>(); }

}  // namespace
}  // namespace bitmill::probe
