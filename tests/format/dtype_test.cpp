#include "format/dtype.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace bitmill {
namespace {

constexpr uint32_t patterns = 65536;

// The value of a half by its definition, in double.
double slow_half_value(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10) & 31;
  const double fraction = bits & 0x3FF;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// The nearest half by comparing distances in double, ties to the even pattern. Infinity stands
// where the next half, 65536, would be.
uint16_t slow_float_to_half(float value) {
  const uint32_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(static_cast<double>(value));
  uint32_t low = 0, high = 0x7C00;  // low's value <= magnitude < high's
  if (magnitude >= 65536) return static_cast<uint16_t>(sign | high);
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (slow_half_value(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - slow_half_value(low), above = slow_half_value(high) - magnitude;
  const bool up = above < below || (above == below && (low & 1) != 0);
  return static_cast<uint16_t>(sign | (up ? high : low));
}

TEST(Dtype, EveryHalfSurvivesTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits < patterns; ++bits) {
    const float value = half_to_float(static_cast<uint16_t>(bits));
    ASSERT_EQ(float_to_half(value), bits);
    const bool special = (bits & 0x7C00) == 0x7C00;
    ASSERT_EQ(std::isfinite(value), !special);
    ASSERT_EQ(std::isnan(value), special && (bits & 0x3FF) != 0);
    if (!special) {
      ASSERT_EQ(static_cast<double>(value), slow_half_value(bits)) << bits;
    }
  }
}

TEST(Dtype, EveryBfloatSurvivesTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits < patterns; ++bits) {
    const float value = bfloat_to_float(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
    ASSERT_EQ(float_to_bfloat(value), bits);
  }
}

TEST(Dtype, HalvesAndTheirMidpointsRoundToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const float next = bits == 0x7BFF ? 65536.0F : half_to_float(static_cast<uint16_t>(bits + 1));
    const float here = half_to_float(static_cast<uint16_t>(bits));
    const float tie = (here + next) / 2;  // exact: one bit more than a half has
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float value : {tie, std::nextafterf(tie, 0), std::nextafterf(tie, infinity)}) {
      ASSERT_EQ(float_to_half(value), slow_float_to_half(value)) << value;
      ASSERT_EQ(float_to_half(-value), slow_float_to_half(-value)) << -value;
    }
  }
}

TEST(Dtype, FloatsOfEveryExponentRoundToTheNearestHalf) {
  // A stride that is odd and large visits every exponent with varied fractions.
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 40503) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(float_to_half(value), slow_float_to_half(value)) << value;
  }
}

TEST(Dtype, HalfOverflowsToInfinityFromTheMidpointOn) {
  EXPECT_EQ(float_to_half(65504.0F), 0x7BFF);
  EXPECT_EQ(float_to_half(std::nextafterf(65520.0F, 0)), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0F), 0x7C00);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::max()), 0xFC00);
}

TEST(Dtype, BfloatRoundsTiesToEven) {
  const auto rounded = [](uint32_t bits) { return float_to_bfloat(std::bit_cast<float>(bits)); };
  EXPECT_EQ(rounded(0x3F808000), 0x3F80);  // tie, even below
  EXPECT_EQ(rounded(0x3F818000), 0x3F82);  // tie, even above
  EXPECT_EQ(rounded(0x3F807FFF), 0x3F80);
  EXPECT_EQ(rounded(0x3F808001), 0x3F81);
  EXPECT_EQ(rounded(0xBF818000), 0xBF82);
  EXPECT_EQ(rounded(0x00008000), 0x0000);  // subnormals round like the rest
  EXPECT_EQ(rounded(0x00018000), 0x0002);
  EXPECT_EQ(rounded(0x7F7FFFFF), 0x7F80);  // overflow
}

TEST(Dtype, ANanWhosePayloadIsLostStaysANan) {
  const float nan = std::bit_cast<float>(0x7F800001U);
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(nan))));
  EXPECT_TRUE(std::isnan(bfloat_to_float(float_to_bfloat(nan))));
}

TEST(Dtype, BuffersAreConvertedElementByElement) {
  const std::vector<float> values = {0.0F, 1.0F, -2.5F, 65504.0F, 0x1p-24F};
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    std::vector<std::byte> raw(values.size() * static_cast<size_t>(dtype_bytes(dtype)));
    from_float32(dtype, values, raw);
    std::vector<float> back(values.size());
    to_float32(dtype, raw, back);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(back[i], values[i], std::fabs(values[i]) / 256) << dtype_name(dtype);
    }
  }
  std::array<std::byte, 2> raw;
  from_float32(Dtype::float16, std::array{1.0F}, raw);
  EXPECT_EQ(raw, (std::array{std::byte{0x00}, std::byte{0x3C}}));  // little-endian
}

TEST(Dtype, NamesAreThoseOfSafetensors) {
  for (const char* name : {"F32", "F16", "BF16", "I32", "I64", "U8"}) {
    const Dtype dtype = dtype_from_name(name);
    EXPECT_EQ(dtype_name(dtype), name);
    EXPECT_EQ(8 * dtype_bytes(dtype), element_bits(name));
  }
  EXPECT_EQ(dtype_from_name("F64"), Dtype::other);
  EXPECT_EQ(element_bits("F64"), 64);
  EXPECT_EQ(element_bits("F4"), 4);
  EXPECT_EQ(element_bits("float32"), 0);
  EXPECT_EQ(dtype_bytes(Dtype::other), 0);
  EXPECT_TRUE(is_float(Dtype::bfloat16));
  EXPECT_FALSE(is_float(Dtype::int32));
}

}  // namespace
}  // namespace bitmill
