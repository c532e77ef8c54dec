#include "format/dtype.hpp"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

namespace bitmill {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

struct Known {
  Dtype dtype;
  std::string_view name;
  int64_t bits;
};

constexpr std::array known = {
    Known{Dtype::float32, "F32", 32},      Known{Dtype::float16, "F16", 16},
    Known{Dtype::bfloat16, "BF16", 16},    Known{Dtype::int32, "I32", 32},
    Known{Dtype::int64, "I64", 64},        Known{Dtype::uint8, "U8", 8},
    Known{Dtype::other, "BOOL", 8},        Known{Dtype::other, "I8", 8},
    Known{Dtype::other, "I16", 16},        Known{Dtype::other, "U16", 16},
    Known{Dtype::other, "U32", 32},        Known{Dtype::other, "U64", 64},
    Known{Dtype::other, "F64", 64},        Known{Dtype::other, "C64", 64},
    Known{Dtype::other, "F8_E4M3", 8},     Known{Dtype::other, "F8_E5M2", 8},
    Known{Dtype::other, "F8_E4M3FNUZ", 8}, Known{Dtype::other, "F8_E5M2FNUZ", 8},
    Known{Dtype::other, "F8_E8M0", 8},     Known{Dtype::other, "F6_E2M3", 6},
    Known{Dtype::other, "F6_E3M2", 6},     Known{Dtype::other, "F4", 4},
};

const Known* find(std::string_view name) {
  for (const Known& entry : known) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

const Known* find(Dtype dtype) {
  for (const Known& entry : known) {
    if (entry.dtype == dtype && dtype != Dtype::other) return &entry;
  }
  return nullptr;
}

constexpr uint32_t float_infinity = 0x7F800000;
constexpr uint32_t half_overflow = 0x477FF000;    // 65520: midway from the largest float16 to 2^16
constexpr uint32_t smallest_normal = 0x38800000;  // 2^-14
constexpr uint32_t bias_difference = 0x38000000;  // exponent biases: (127 - 15) << 23

// The bits of the subnormal float16 (a multiple of 2^-24) that is nearest to a float below 2^-14.
// `magnitude`: the float's bits without the sign.
uint32_t subnormal_half(uint32_t magnitude) {
  const uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return 0;  // below 2^-25, which is 0.5 times the smallest float16
  const uint32_t significand = (magnitude & 0x7FFFFF) | 0x800000;
  const uint32_t shift = 126 - exponent;  // 14 .. 24
  const uint32_t quotient = significand >> shift;
  const uint32_t remainder = significand & ((1U << shift) - 1);
  const uint32_t halfway = 1U << (shift - 1);
  return quotient + (remainder > halfway || (remainder == halfway && (quotient & 1) != 0) ? 1 : 0);
}

// The payload of a NaN: its upper bits. If these are all 0, the quiet bit, because a NaN needs a
// payload that is not 0.
uint32_t payload_or(uint32_t upper_bits, uint32_t quiet_bit) {
  return upper_bits != 0 ? upper_bits : quiet_bit;
}

template <class Convert>
void widen(std::span<const std::byte> raw, std::span<float> values, Convert convert) {
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, raw.data() + 2 * i, 2);
    values[i] = convert(bits);
  }
}

template <class Convert>
void narrow(std::span<const float> values, std::span<std::byte> raw, Convert convert) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = convert(values[i]);
    std::memcpy(raw.data() + 2 * i, &bits, 2);
  }
}

}  // namespace

Dtype dtype_from_name(std::string_view safetensors_name) {
  const Known* entry = find(safetensors_name);
  return entry ? entry->dtype : Dtype::other;
}

std::string_view dtype_name(Dtype dtype) {
  const Known* entry = find(dtype);
  return entry ? entry->name : "?";
}

std::string_view dtype_word(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return "float32";
    case Dtype::float16:
      return "float16";
    case Dtype::bfloat16:
      return "bfloat16";
    default:
      return "other";
  }
}

int64_t dtype_bytes(Dtype dtype) {
  const Known* entry = find(dtype);
  return entry ? entry->bits / 8 : 0;
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::float32 || dtype == Dtype::float16 || dtype == Dtype::bfloat16;
}

int64_t element_bits(std::string_view safetensors_name) {
  const Known* entry = find(safetensors_name);
  return entry ? entry->bits : 0;
}

float half_to_float(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000U) << 16;
  const uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00) {  // infinity and NaN
    return std::bit_cast<float>(sign | float_infinity | ((magnitude & 0x3FF) << 13));
  }
  if (magnitude >= 0x0400)
    return std::bit_cast<float>(sign | ((magnitude << 13) + bias_difference));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;  // exact
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  uint32_t half = 0x7C00;
  if (magnitude > float_infinity) {
    half |= payload_or((magnitude >> 13) & 0x3FF, 0x200);
  } else if (magnitude < smallest_normal) {
    half = subnormal_half(magnitude);
  } else if (magnitude < half_overflow) {
    // Rounds ties to even: adds just under half a unit in the last place, plus the last bit.
    half = (magnitude + 0xFFF + ((magnitude >> 13) & 1) - bias_difference) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

float bfloat_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

uint16_t float_to_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  const uint32_t upper = magnitude > float_infinity
                             ? 0x7F80 | payload_or((magnitude >> 16) & 0x7F, 0x40)
                             : (magnitude + 0x7FFF + ((magnitude >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(sign | upper);
}

void to_float32(Dtype dtype, std::span<const std::byte> raw, std::span<float> values) {
  assert(is_float(dtype) && std::cmp_equal(raw.size(), values.size() * dtype_bytes(dtype)));
  if (values.empty()) return;
  if (dtype == Dtype::float32) std::memcpy(values.data(), raw.data(), raw.size());
  if (dtype == Dtype::float16) widen(raw, values, half_to_float);
  if (dtype == Dtype::bfloat16) widen(raw, values, bfloat_to_float);
}

void from_float32(Dtype dtype, std::span<const float> values, std::span<std::byte> raw) {
  assert(is_float(dtype) && std::cmp_equal(raw.size(), values.size() * dtype_bytes(dtype)));
  if (values.empty()) return;
  if (dtype == Dtype::float32) std::memcpy(raw.data(), values.data(), raw.size());
  if (dtype == Dtype::float16) narrow(values, raw, float_to_half);
  if (dtype == Dtype::bfloat16) narrow(values, raw, float_to_bfloat);
}

}  // namespace bitmill
