#pragma once
// Whether activations between two blocks can be kept: finite, and within the range of the type in
// which they are kept. A NaN that is not found here would show far behind as a loss that is not
// finite.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "format/dtype.hpp"

namespace bitmill {

// Where a sample's activations come from, for an error.
struct StreamOrigin {
  static constexpr int64_t embeddings = -1, unknown = -2;

  std::string_view maker;            // "the full-precision block", "the packed block"
  int64_t block = embeddings;        // unknown: the maker is all that is known
  std::string_view unit = "sample";  // or "window"
  int64_t number = 0;                // of the sample, in the job
  // What to do where a value is not finite: this depends on the maker.
  std::string_view advice;
};

// The largest magnitude that can be kept as `dtype`.
float largest_kept(Dtype dtype);

// `value`: [tokens, hidden], float32, contiguous; to be kept as `dtype`. NumericError names maker,
// block, sample, token and channel of the first value that is not finite, or is beyond the range of
// `dtype`. For the second the advice is another --stream-dtype.
void check_stream(const at::Tensor& value, Dtype dtype, const StreamOrigin& origin);

}  // namespace bitmill
