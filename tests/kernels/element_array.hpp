#pragma once
// Numbers for the tests of kernels, and arrays of an Element made of them, on any kind of device.
//
// The numbers are multiples of 1/8 of magnitude up to 3. Products of two of them, and sums of a few
// thousand such products, are exact in float32, so that every order of adding gives the same bits.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "kernels/element.hpp"

namespace bitmill {

inline std::vector<float> exact_numbers(int64_t count, uint32_t seed) {
  std::vector<float> numbers;
  uint32_t state = seed * 2654435761U + 12345;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    numbers.push_back((static_cast<float>((state >> 16) % 49) - 24.0F) / 8.0F);
  }
  return numbers;
}

// To nearest, ties to even: by adding and taking away, unlike the kernels.
inline uint16_t bf16_bits_of(float value) {
  if (std::isnan(value)) return 0x7FFF;
  const double magnitude = std::abs(double{value});
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const double unit = std::ldexp(1.0, exponent - 8);  // 8 bits of a number
  const auto nearest = static_cast<float>(std::nearbyint(magnitude / unit) * unit);
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(std::copysign(nearest, value)) >> 16);
}

inline float rounded_to(kernels::Element element, float value) {
  if (element == kernels::Element::float32) return value;
  return std::bit_cast<float>(uint32_t{bf16_bits_of(value)} << 16);
}
inline std::vector<float> rounded_to(kernels::Element element, std::vector<float> values) {
  for (float& value : values) value = rounded_to(element, value);
  return values;
}

// Array<T> is made from a vector, and has data() and to_host().
template <template <typename> class Array>
class ElementArray {
 public:
  // The rounded `values`.
  ElementArray(kernels::Element element, const std::vector<float>& values)
      : array_(made(element, values)) {}
  // `count` elements, all NaN.
  ElementArray(kernels::Element element, int64_t count)
      : ElementArray(element, std::vector<float>(static_cast<size_t>(count),
                                                 std::numeric_limits<float>::quiet_NaN())) {}

  void* data() const {
    return std::visit([](const auto& array) -> void* { return array.data(); }, array_);
  }
  std::vector<float> to_host() const {
    if (const auto* wide = std::get_if<Array<float>>(&array_)) return wide->to_host();
    std::vector<float> values;
    for (const uint16_t bits : std::get<Array<uint16_t>>(array_).to_host()) {
      values.push_back(std::bit_cast<float>(uint32_t{bits} << 16));
    }
    return values;
  }

 private:
  using Either = std::variant<Array<float>, Array<uint16_t>>;
  static Either made(kernels::Element element, const std::vector<float>& values) {
    if (element == kernels::Element::float32) {
      return Either(std::in_place_type<Array<float>>, values);
    }
    std::vector<uint16_t> halves;
    for (const float value : values) halves.push_back(bf16_bits_of(value));
    return Either(std::in_place_type<Array<uint16_t>>, halves);
  }

  const Either array_;
};

// The same bits, or both NaN.
inline bool is_same_number(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

// Where two vectors differ first, in words for a test's message; empty where they do not.
inline std::string first_difference(const std::vector<float>& got, const std::vector<float>& want) {
  if (got.size() != want.size()) {
    return std::to_string(got.size()) + " numbers instead of " + std::to_string(want.size());
  }
  for (size_t i = 0; i < got.size(); ++i) {
    if (is_same_number(got[i], want[i])) continue;
    std::ostringstream words;
    words << "[" << i << "] is " << got[i] << ", not " << want[i];
    return words.str();
  }
  return "";
}

// The largest distance of two vectors of the same size; infinity where one of them has a NaN.
inline double largest_distance(const std::vector<float>& got, const std::vector<double>& want) {
  double largest = got.size() == want.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < got.size() && i < want.size(); ++i) {
    const double distance = std::abs(double{got[i]} - want[i]);
    if (!(distance <= largest)) {
      largest = std::isnan(distance) ? std::numeric_limits<double>::infinity() : distance;
    }
  }
  return largest;
}

}  // namespace bitmill
