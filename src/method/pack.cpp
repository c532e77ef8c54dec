#include "method/pack.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "format/dtype.hpp"
#include "format/packed_layout.hpp"
#include "kernels/pack_values.hpp"

namespace bitmill {
namespace {

std::vector<uint16_t> round_to_half(const at::Tensor& values, const std::string& what) {
  const at::Tensor contiguous = values.cpu().contiguous();
  const float* source = contiguous.data_ptr<float>();
  std::vector<uint16_t> out(static_cast<size_t>(values.numel()));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = float_to_half(source[i]);
    BITMILL_CHECK(std::isfinite(half_to_float(out[i])), NumericError,
                  fmt::format("{}[{}] is {}, which does not fit float16 (largest 65504); a lower "
                              "learning rate may help",
                              what, i, source[i]));
  }
  return out;
}

// Words on a GPU, on the host.
std::vector<uint32_t> fetch_words(const at::Tensor& words) {
  const at::Tensor host = words.cpu();
  const uint32_t* const first = word_memory(host);
  return {first, first + host.numel()};
}

// Latents on a GPU are packed there.
std::vector<uint32_t> pack_on_gpu(const at::Tensor& given) {
  const at::Tensor latents = kernel_input(given);
  const int64_t rows = latents.size(0), low = latents.size(1);
  const at::Tensor words = at::empty({rows, packed::words_for(low, packed::bits_per_word)},
                                     latents.options().dtype(at::kInt));
  const kernels::PackLatents task{latents.const_data_ptr<float>(), word_memory(words), rows, low};
  check_cuda(kernels::pack_latents(task, stream_of(latents)), "pack_latents");
  return fetch_words(words);
}

// For signs and for latents; the sign of 0 is +.
template <class Value>
std::vector<uint32_t> pack_signs(const at::Tensor& values) {
  const int64_t rows = values.size(0), low = values.size(1);
  const int64_t words = packed::words_for(low, packed::bits_per_word);
  const Value* source = values.data_ptr<Value>();
  std::vector<uint32_t> out(static_cast<size_t>(rows * words), 0);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < low; ++j) {
      if (source[i * low + j] >= 0) packed::set_bit(out.data() + i * words, j);
    }
  }
  return out;
}

std::vector<uint32_t> pack_codes(const at::Tensor& codes) {
  const int64_t rows = codes.size(0), salient = codes.size(1);
  const int64_t words = packed::words_for(salient, packed::codes_per_word);
  const uint8_t* source = codes.data_ptr<uint8_t>();
  std::vector<uint32_t> out(static_cast<size_t>(rows * words), 0);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < salient; ++j) {
      packed::set_code(out.data() + i * words, j, source[i * salient + j]);
    }
  }
  return out;
}

std::vector<uint32_t> pack_zeros(const at::Tensor& given) {
  const at::Tensor zeros = given.cpu();
  const float* source = zeros.data_ptr<float>();
  std::vector<uint32_t> out(
      static_cast<size_t>(packed::words_for(zeros.size(0), packed::codes_per_word)), 0);
  for (int64_t i = 0; i < zeros.size(0); ++i) {
    packed::set_code(out.data(), i, static_cast<uint32_t>(source[i]));
  }
  return out;
}

}  // namespace

std::vector<uint32_t> pack_latents(const at::Tensor& latents) {
  return latents.is_cuda() ? pack_on_gpu(latents) : pack_signs<float>(latents);
}

namespace {

// The signs of a linear on either device.
std::vector<uint32_t> words_of_signs(const at::Tensor& signs, const at::Tensor& latents) {
  if (latents.defined()) return pack_latents(latents);
  return signs.is_cuda() ? fetch_words(signs) : pack_signs<int8_t>(signs);
}

}  // namespace

PackedLinear pack_linear(const std::string& name, const FrozenLinear& frozen,
                         const LearnedLinear& learned) {
  PackedLinear out;
  out.rows = frozen.rows;
  out.cols = frozen.cols;
  out.salient_cols = frozen.salient_columns.size(0);
  out.signs = words_of_signs(frozen.signs, learned[part::latents]);
  out.codes = frozen.codes.is_cuda() ? fetch_words(frozen.codes) : pack_codes(frozen.codes);
  out.mask = pack_mask(numbers_of(frozen.salient_columns), frozen.cols);
  out.code_zero = pack_zeros(frozen.code_zero);
  // On the host, because some vectors may be there and others on a GPU.
  const at::Tensor row_gain = learned[part::row_gain].cpu();
  const at::Tensor row_mean = learned_or(learned, part::row_mean, frozen.row_mean).cpu();
  const at::Tensor code_scale = learned_or(learned, part::code_scale, frozen.code_scale);
  out.row_scale = round_to_half(learned[part::row_scale].cpu() * row_gain, name + ".row_scale");
  out.row_mean = round_to_half(row_mean * row_gain, name + ".row_mean");
  out.col_gain = round_to_half(learned[part::col_gain], name + ".col_gain");
  out.code_scale = round_to_half(code_scale, name + ".code_scale");
  return out;
}

StoredScales round_scales(const std::string& name, const PackedLinear& packed,
                          const LearnedLinear& learned) {
  const at::Tensor row_gain = learned[part::row_gain];
  const at::Tensor code_scale = learned[part::code_scale];
  return {
      round_to_half(learned[part::row_scale] * row_gain, name + ".row_scale"),
      round_to_half(widened(packed.row_mean) * row_gain, name + ".row_mean"),
      round_to_half(learned[part::col_gain], name + ".col_gain"),
      code_scale.defined() ? round_to_half(code_scale, name + ".code_scale") : packed.code_scale};
}

at::Tensor widened(const std::vector<uint16_t>& halves) {
  at::Tensor out = at::empty({static_cast<int64_t>(halves.size())});
  to_float32(Dtype::float16, std::as_bytes(std::span(halves)),
             {out.data_ptr<float>(), halves.size()});
  return out;
}

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

void bring_words(const PackedLinear& packed, const Device& device, bool signs, InitialLinear& out) {
  FrozenLinear& frozen = out.frozen;
  if (signs) frozen.signs = words_on(device.torch(), packed.signs).view({packed.rows, -1});
  frozen.codes = words_on(device.torch(), packed.codes).view({packed.rows, -1});
  for (at::Tensor* vector :
       {&frozen.row_mean, &frozen.code_scale, &frozen.code_zero, &out.row_scale}) {
    *vector = device.bring(*vector, at::kFloat);
  }
}

void unpack_signs(const PackedLinear& packed, ThreadPool& pool, InitialLinear& out) {
  const int64_t low = packed.low_cols();
  const int64_t words = packed::words_for(low, packed::bits_per_word);
  out.frozen.signs = at::empty({packed.rows, low}, at::kChar);
  auto* signs = out.frozen.signs.data_ptr<int8_t>();
  pool.parallel_for(packed.rows, [&](int64_t row) {
    const uint32_t* const row_signs = packed.signs.data() + row * words;
    for (int64_t j = 0; j < low; ++j) {
      signs[row * low + j] = packed::get_bit(row_signs, j) != 0 ? 1 : -1;
    }
  });
}

void unpack_codes(const PackedLinear& packed, ThreadPool& pool, InitialLinear& out) {
  const int64_t salient = packed.salient_cols;
  const int64_t words = packed::words_for(salient, packed::codes_per_word);
  out.frozen.codes = at::empty({packed.rows, salient}, at::kByte);
  auto* codes = out.frozen.codes.data_ptr<uint8_t>();
  pool.parallel_for(packed.rows, [&](int64_t row) {
    const uint32_t* const row_codes = packed.codes.data() + row * words;
    for (int64_t c = 0; c < salient; ++c) {
      codes[row * salient + c] = static_cast<uint8_t>(packed::get_code(row_codes, c));
    }
  });
}

}  // namespace

InitialLinear unpack_linear(const PackedLinear& packed, const Device& device, bool signs) {
  InitialLinear out = unpack_vectors(packed);
  if (device.torch().is_cuda()) {
    bring_words(packed, device, signs, out);
    return out;
  }
  if (signs) unpack_signs(packed, device.host(), out);
  unpack_codes(packed, device.host(), out);
  return out;
}

}  // namespace bitmill
