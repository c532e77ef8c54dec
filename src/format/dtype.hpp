#pragma once
// Element types with their names in safetensors, and exact conversions of 16-bit floats.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bitmill {

enum class Dtype { float32, float16, bfloat16, int32, int64, uint8, other };

// "F32", "F16", "BF16", "I32", "I64", "U8"; anything else is `other`.
Dtype dtype_from_name(std::string_view safetensors_name);
std::string_view dtype_name(Dtype dtype);  // of `other`: "?"
std::string_view dtype_word(
    Dtype dtype);                  // "float32", as in options and torch; "other" when no float
int64_t dtype_bytes(Dtype dtype);  // of `other`: 0
bool is_float(Dtype dtype);        // one of the three that a checkpoint's weights may have

// Bits of one element, for every dtype that safetensors knows; 0 for an unknown name.
int64_t element_bits(std::string_view safetensors_name);

float half_to_float(uint16_t bits);
// Rounds to nearest, ties to even; overflow gives infinity. A NaN stays a NaN and keeps the upper
// bits of its payload, so that every 16-bit pattern is the same after float32 and back.
uint16_t float_to_half(float value);
float bfloat_to_float(uint16_t bits);
uint16_t float_to_bfloat(float value);

// raw holds values.size() elements of a float dtype. from_float32() rounds to nearest, ties to
// even.
void to_float32(Dtype dtype, std::span<const std::byte> raw, std::span<float> values);
void from_float32(Dtype dtype, std::span<const float> values, std::span<std::byte> raw);

}  // namespace bitmill
