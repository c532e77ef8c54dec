#include "method/unpack.hpp"

#include <ATen/ops/empty.h>

#include <span>

#include "format/dtype.hpp"
#include "format/packed_layout.hpp"

namespace bitmill {
namespace {

// Without signs and codes.
InitialLinear unpack_vectors(const PackedLinear& packed) {
  FrozenLinear frozen{.rows = packed.rows,
                      .cols = packed.cols,
                      .low_columns = at::empty({packed.low_cols()}, at::kLong),
                      .salient_columns = at::empty({packed.salient_cols}, at::kLong),
                      .signs = {},
                      .row_mean = widened(packed.row_mean),
                      .codes = {},
                      .code_scale = widened(packed.code_scale),
                      .code_zero = at::empty({packed.rows})};
  auto* low = frozen.low_columns.data_ptr<int64_t>();
  auto* salient = frozen.salient_columns.data_ptr<int64_t>();
  for (int64_t col = 0; col < packed.cols; ++col) {
    *(packed::get_bit(packed.mask.data(), col) != 0 ? salient : low)++ = col;
  }
  float* zeros = frozen.code_zero.data_ptr<float>();
  for (int64_t row = 0; row < packed.rows; ++row) {
    zeros[row] = static_cast<float>(packed::get_code(packed.code_zero.data(), row));
  }
  return {std::move(frozen), widened(packed.row_scale)};
}

}  // namespace

at::Tensor widened(const std::vector<uint16_t>& halves) {
  at::Tensor out = at::empty({static_cast<int64_t>(halves.size())});
  to_float32(Dtype::float16, std::as_bytes(std::span(halves)),
             {out.data_ptr<float>(), halves.size()});
  return out;
}

InitialLinear unpack_linear(const PackedLinear& packed, ThreadPool& pool) {
  InitialLinear out = unpack_vectors(packed);
  const int64_t low = packed.low_cols(), salient = packed.salient_cols;
  const int64_t sign_words = packed::words_for(low, packed::bits_per_word);
  const int64_t code_words = packed::words_for(salient, packed::codes_per_word);
  out.frozen.signs = at::empty({packed.rows, low}, at::kChar);
  out.frozen.codes = at::empty({packed.rows, salient}, at::kByte);
  auto* signs = out.frozen.signs.data_ptr<int8_t>();
  auto* codes = out.frozen.codes.data_ptr<uint8_t>();
  pool.parallel_for(packed.rows, [&](int64_t row) {
    const uint32_t* const row_signs = packed.signs.data() + row * sign_words;
    const uint32_t* const row_codes = packed.codes.data() + row * code_words;
    for (int64_t j = 0; j < low; ++j) {
      signs[row * low + j] = packed::get_bit(row_signs, j) != 0 ? 1 : -1;
    }
    for (int64_t c = 0; c < salient; ++c) {
      codes[row * salient + c] = static_cast<uint8_t>(packed::get_code(row_codes, c));
    }
  });
  return out;
}

}  // namespace bitmill
