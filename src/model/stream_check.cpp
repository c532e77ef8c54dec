#include "model/stream_check.hpp"

#include <fmt/format.h>

#include <bit>
#include <cassert>
#include <cmath>
#include <span>

#include "base/error.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// Of finite values.
constexpr float largest_half = 65504;
constexpr float largest_bfloat = 0x1.fep127F;
constexpr float largest_float = 0x1.fffffep127F;

// A float32 without its sign, as a whole number: these are in the order of the magnitudes, with
// infinity and NaN at the end. The loop has no branch, so the compiler makes vector instructions.
uint32_t largest_magnitude(std::span<const float> values) {
  uint32_t largest = 0;
  for (const float value : values) {
    const uint32_t magnitude = std::bit_cast<uint32_t>(value) & 0x7FFFFFFFU;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

// The first token of a window often has far larger activations than the others.
std::string token_text(int64_t token) {
  return token == 0 ? "token 0, the first of the window" : fmt::format("token {}", token);
}

std::string place_of(const StreamOrigin& origin) {
  if (origin.block == StreamOrigin::embeddings) return "the embedding of a token";
  if (origin.block == StreamOrigin::unknown) return std::string(origin.maker);
  return fmt::format("{} {}", origin.maker, origin.block);
}

// One of the values is at fault.
[[noreturn]] void refuse(const at::Tensor& value, Dtype dtype, const StreamOrigin& origin) {
  const std::span<const float> values = floats_of(value);
  const float most = largest_kept(dtype);
  size_t at = 0;
  while (std::abs(values[at]) <= most) ++at;
  const int64_t hidden = value.size(1);
  const auto index = static_cast<int64_t>(at);
  const std::string where =
      fmt::format("{} gives {:g} in {} {}, {}, channel {}", place_of(origin), values[at],
                  origin.unit, origin.number, token_text(index / hidden), index % hidden);
  if (std::isfinite(values[at])) {
    throw NumericError(fmt::format(
        "{}, and {} ends at {:g}; begin again with --stream-dtype {}, in another --work-dir or "
        "with --resume never",
        where, dtype_word(dtype), most,
        dtype == Dtype::float16 ? "bfloat16 or float32" : "float32"));
  }
  throw NumericError(fmt::format("{}; {}", where, origin.advice));
}

}  // namespace

float largest_kept(Dtype dtype) {
  switch (dtype) {
    case Dtype::float16:
      return largest_half;
    case Dtype::bfloat16:
      return largest_bfloat;
    default:
      return largest_float;
  }
}

void check_stream(const at::Tensor& value, Dtype dtype, const StreamOrigin& origin) {
  assert(value.dim() == 2 && value.is_contiguous() && value.scalar_type() == at::kFloat);
  const float most = largest_kept(dtype);
  if (largest_magnitude(floats_of(value)) > std::bit_cast<uint32_t>(most)) {
    refuse(value, dtype, origin);
  }
}

}  // namespace bitmill
