#include "format/packed_linear.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "format/packed_layout.hpp"

namespace bitmill {
namespace {

using packed::words_for;

// Every array below is in this order.
enum Part { signs, codes, mask, code_zero, row_scale, row_mean, col_gain, code_scale, part_count };

constexpr std::array<PackedPart, part_count> parts = {{
    {".signs", Dtype::int32},
    {".codes", Dtype::int32},
    {".mask", Dtype::int32},
    {".code_zero", Dtype::int32},
    {".row_scale", Dtype::float16},
    {".row_mean", Dtype::float16},
    {".col_gain", Dtype::float16},
    {".code_scale", Dtype::float16},
}};

constexpr std::string_view weight_ending = ".weight";

using Shapes = std::array<std::vector<int64_t>, part_count>;

Shapes shapes_of(int64_t rows, int64_t cols, int64_t salient_cols) {
  const int64_t low_cols = cols - salient_cols;
  return {{{rows, words_for(low_cols, packed::bits_per_word)},
           {rows, words_for(salient_cols, packed::codes_per_word)},
           {words_for(cols, packed::bits_per_word)},
           {words_for(rows, packed::codes_per_word)},
           {rows},
           {rows},
           {low_cols},
           {rows}}};
}

int64_t elements_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

// One span of bytes per part. The bytes are const when Linear is const.
template <class Linear>
auto bytes_of(Linear& linear) {
  const auto bytes = [](auto& vector) {
    if constexpr (std::is_const_v<Linear>) {
      return std::as_bytes(std::span(vector));
    } else {
      return std::as_writable_bytes(std::span(vector));
    }
  };
  return std::array{bytes(linear.signs),     bytes(linear.codes),     bytes(linear.mask),
                    bytes(linear.code_zero), bytes(linear.row_scale), bytes(linear.row_mean),
                    bytes(linear.col_gain),  bytes(linear.code_scale)};
}

const TensorInfo& require_part(const TensorFolder& tensors, const std::string& name, Part part) {
  const std::string full = name + parts[part].suffix;
  BITMILL_CHECK(tensors.contains(full), FormatError,
                fmt::format("{}: the packed weight \"{}\" is incomplete: tensor \"{}\" is missing",
                            tensors.path(), name, full));
  const TensorInfo& info = tensors.info(full);
  BITMILL_CHECK(info.dtype == parts[part].dtype, FormatError,
                fmt::format("{}: tensor \"{}\" is {}; {} was expected", tensors.path(), full,
                            info.dtype_text, dtype_name(parts[part].dtype)));
  return info;
}

void check_shapes(const TensorFolder& tensors, const std::string& name, const PackedShape& shape) {
  const Shapes shapes = shapes_of(shape.rows, shape.cols, shape.salient_cols);
  for (int part = 0; part < part_count; ++part) {
    const TensorInfo& info = require_part(tensors, name, static_cast<Part>(part));
    BITMILL_CHECK(info.shape == shapes[part], FormatError,
                  fmt::format("{}: tensor \"{}\" has shape [{}]; a {} x {} weight with {} salient "
                              "columns needs [{}]",
                              tensors.path(), info.name, fmt::join(info.shape, ", "), shape.rows,
                              shape.cols, shape.salient_cols, fmt::join(shapes[part], ", ")));
  }
}

// Checks that the unused bits of the last word of each row are 0. `words` is
// [rows, words_for(items, per_word)].
void check_padding(std::span<const uint32_t> words, int64_t rows, int64_t items, int64_t per_word,
                   const std::string& where) {
  const int64_t row_words = words_for(items, per_word);
  const int64_t used = items % per_word;
  if (used == 0) return;
  const uint32_t unused = ~0U << (used * packed::bits_per_word / per_word);
  for (int64_t row = 0; row < rows; ++row) {
    const uint32_t last = words[(row + 1) * row_words - 1];
    BITMILL_CHECK(
        (last & unused) == 0, FormatError,
        fmt::format("{}: the last word of row {} is {:#010x}; the bits beyond its {} items "
                    "must be 0",
                    where, row, last, items));
  }
}

void check_finite(std::span<const uint16_t> halves, const std::string& where) {
  const auto bad = std::find_if(halves.begin(), halves.end(),
                                [](uint16_t bits) { return (bits & 0x7C00) == 0x7C00; });
  BITMILL_CHECK(bad == halves.end(), FormatError,
                fmt::format("{}: element {} is {}, not a finite number", where,
                            bad - halves.begin(), half_to_float(*bad)));
}

// Checks the padding of the mask, too: a set bit there would count as a further salient column.
std::vector<uint32_t> read_mask(const TensorFolder& tensors, const std::string& name,
                                int64_t cols) {
  const TensorInfo& info = require_part(tensors, name, mask);
  const int64_t words = words_for(cols, packed::bits_per_word);
  BITMILL_CHECK(info.shape == std::vector<int64_t>{words}, FormatError,
                fmt::format("{}: tensor \"{}\" has shape [{}]; {} columns need [{}]",
                            tensors.path(), info.name, fmt::join(info.shape, ", "), cols, words));
  std::vector<uint32_t> bits(words);
  tensors.read(info.name, std::as_writable_bytes(std::span(bits)));
  check_padding(bits, 1, cols, packed::bits_per_word, tensors.path() + ": " + info.name);
  return bits;
}

int64_t count_bits(std::span<const uint32_t> words) {
  int64_t count = 0;
  for (const uint32_t word : words) count += std::popcount(word);
  return count;
}

// With every vector as long as it must be; the mask alone has its content.
PackedLinear empty_linear(const PackedShape& shape, std::vector<uint32_t> mask_bits) {
  PackedLinear linear;
  linear.rows = shape.rows;
  linear.cols = shape.cols;
  linear.salient_cols = shape.salient_cols;
  linear.mask = std::move(mask_bits);
  linear.signs.resize(shape.rows * words_for(linear.low_cols(), packed::bits_per_word));
  linear.codes.resize(shape.rows * words_for(shape.salient_cols, packed::codes_per_word));
  linear.code_zero.resize(words_for(shape.rows, packed::codes_per_word));
  for (auto* vector : {&linear.row_scale, &linear.row_mean, &linear.code_scale})
    vector->resize(shape.rows);
  linear.col_gain.resize(linear.low_cols());
  return linear;
}

// All but the mask's padding. `weight` stands before the suffix of a part.
void check_content(const PackedLinear& linear, const std::string& weight) {
  const auto where = [&](Part part) { return weight + parts[part].suffix; };
  check_padding(linear.signs, linear.rows, linear.low_cols(), packed::bits_per_word, where(signs));
  check_padding(linear.codes, linear.rows, linear.salient_cols, packed::codes_per_word,
                where(codes));
  check_padding(linear.code_zero, 1, linear.rows, packed::codes_per_word, where(code_zero));
  check_finite(linear.row_scale, where(row_scale));
  check_finite(linear.row_mean, where(row_mean));
  check_finite(linear.col_gain, where(col_gain));
  check_finite(linear.code_scale, where(code_scale));
}

void check_bytes(std::span<const std::byte> stored, Part part, int64_t needed,
                 const std::string& weight) {
  BITMILL_CHECK(std::ssize(stored) == needed, FormatError,
                fmt::format("{}{} has {} bytes; {} were expected", weight, parts[part].suffix,
                            stored.size(), needed));
}

std::vector<float> widened(const std::vector<uint16_t>& halves) {
  std::vector<float> values(halves.size());
  to_float32(Dtype::float16, std::as_bytes(std::span(halves)), values);
  return values;
}

}  // namespace

std::span<const PackedPart> packed_parts() { return parts; }

std::vector<TensorSource> packed_tensors(const std::string& name,
                                         const std::shared_ptr<const PackedLinear>& linear) {
  const Shapes shapes = shapes_of(linear->rows, linear->cols, linear->salient_cols);
  std::vector<TensorSource> sources;
  for (size_t part = 0; part < part_count; ++part) {
    const auto produce = [linear, part](const ByteSink& sink) { sink(bytes_of(*linear)[part]); };
    sources.push_back({name + parts[part].suffix, parts[part].dtype, shapes[part], produce});
  }
  return sources;
}

PackedLinear read_packed_linear(const TensorFolder& tensors, const std::string& name, int64_t rows,
                                int64_t cols, const HearTensor& hear) {
  std::vector<uint32_t> mask_bits = read_mask(tensors, name, cols);
  const PackedShape shape = {rows, cols, count_bits(mask_bits)};
  check_shapes(tensors, name, shape);

  PackedLinear linear = empty_linear(shape, std::move(mask_bits));
  const auto bytes = bytes_of(linear);
  for (size_t part = 0; part < part_count; ++part) {
    const std::string tensor = name + parts[part].suffix;
    if (part != mask) tensors.read(tensor, bytes[part]);
    if (hear) hear(tensor, bytes[part]);
  }
  check_content(linear, tensors.path() + ": " + name);
  return linear;
}

PackedLinear copy_packed_linear(std::span<const std::span<const std::byte>> stored, int64_t rows,
                                int64_t cols, const std::string& name) {
  assert(std::ssize(stored) == part_count && rows >= 0 && cols >= 0);
  const int64_t words = words_for(cols, packed::bits_per_word);
  check_bytes(stored[mask], mask, words * dtype_bytes(parts[mask].dtype), name);
  std::vector<uint32_t> bits(words);
  std::ranges::copy(stored[mask], std::as_writable_bytes(std::span(bits)).begin());
  check_padding(bits, 1, cols, packed::bits_per_word, name + parts[mask].suffix);

  const PackedShape shape = {rows, cols, count_bits(bits)};
  const Shapes shapes = shapes_of(rows, cols, shape.salient_cols);
  for (int part = 0; part < part_count; ++part) {
    check_bytes(stored[part], static_cast<Part>(part),
                elements_of(shapes[part]) * dtype_bytes(parts[part].dtype), name);
  }
  PackedLinear linear = empty_linear(shape, std::move(bits));
  const auto bytes = bytes_of(linear);
  for (int part = 0; part < part_count; ++part) {
    std::ranges::copy(stored[part], bytes[part].begin());
  }
  check_content(linear, name);
  return linear;
}

std::vector<uint32_t> pack_mask(std::span<const int64_t> salient_columns, int64_t cols) {
  std::vector<uint32_t> out(words_for(cols, packed::bits_per_word), 0);
  for (const int64_t column : salient_columns) packed::set_bit(out.data(), column);
  return out;
}

bool is_packed(const TensorFolder& tensors, const std::string& name) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const PackedPart& part) { return tensors.contains(name + part.suffix); });
}

std::vector<std::string> packed_names(const TensorFolder& tensors) {
  std::set<std::string> names;
  for (const std::string& tensor : tensors.names()) {
    for (const PackedPart& part : parts) {
      if (!tensor.ends_with(part.suffix)) continue;
      const auto name = tensor.substr(0, tensor.size() - std::string_view(part.suffix).size());
      if (name.ends_with(weight_ending)) names.insert(name);
    }
  }
  return {names.begin(), names.end()};
}

PackedShape read_packed_shape(const TensorFolder& tensors, const std::string& name) {
  const TensorInfo& scales = require_part(tensors, name, row_scale);
  const TensorInfo& gains = require_part(tensors, name, col_gain);
  const TensorInfo& mask_info = require_part(tensors, name, mask);
  for (const TensorInfo* info : {&scales, &gains, &mask_info}) {
    BITMILL_CHECK(info->shape.size() == 1, FormatError,
                  fmt::format("{}: tensor \"{}\" has shape [{}]; one dimension was expected",
                              tensors.path(), info->name, fmt::join(info->shape, ", ")));
  }
  // No tensor has the number of columns in its shape. The salient columns are counted in the mask,
  // and each low column has one gain.
  std::vector<uint32_t> bits(mask_info.shape[0]);
  tensors.read(mask_info.name, std::as_writable_bytes(std::span(bits)));
  const int64_t salient_cols = count_bits(bits);
  const PackedShape shape = {scales.shape[0], gains.shape[0] + salient_cols, salient_cols};
  check_shapes(tensors, name, shape);
  check_padding(bits, 1, shape.cols, packed::bits_per_word, tensors.path() + ": " + mask_info.name);
  return shape;
}

std::vector<float> dequantize(const PackedLinear& linear) {
  std::vector<float> weight(linear.rows * linear.cols);
  dequantize(linear, weight);
  return weight;
}

void dequantize(const PackedLinear& linear, std::span<float> weight) {
  assert(std::ssize(weight) == linear.rows * linear.cols);
  std::vector<int64_t> low, salient;  // source columns, ascending
  for (int64_t col = 0; col < linear.cols; ++col) {
    (packed::get_bit(linear.mask.data(), col) != 0 ? salient : low).push_back(col);
  }
  const std::vector<float> row_scales = widened(linear.row_scale);
  const std::vector<float> row_means = widened(linear.row_mean);
  const std::vector<float> col_gains = widened(linear.col_gain);
  const std::vector<float> code_scales = widened(linear.code_scale);
  const int64_t sign_words = words_for(std::ssize(low), packed::bits_per_word);
  const int64_t code_words = words_for(std::ssize(salient), packed::codes_per_word);

  for (int64_t row = 0; row < linear.rows; ++row) {
    float* const out = weight.data() + row * linear.cols;
    // In a row, a low column has one of two values before its gain is applied, and a salient column
    // has one of sixteen.
    const std::array<float, 2> levels = {row_scales[row] * -1.0F + row_means[row],
                                         row_scales[row] * 1.0F + row_means[row]};
    const uint32_t* const row_signs = linear.signs.data() + row * sign_words;
    for (int64_t j = 0; j < std::ssize(low); ++j) {
      out[low[j]] = col_gains[j] * levels[packed::get_bit(row_signs, j)];
    }
    const auto zero = static_cast<float>(packed::get_code(linear.code_zero.data(), row));
    std::array<float, packed::largest_code + 1> grid;
    for (int code = 0; code <= packed::largest_code; ++code) {
      grid[code] = code_scales[row] * (static_cast<float>(code) - zero);
    }
    const uint32_t* const row_codes = linear.codes.data() + row * code_words;
    for (int64_t c = 0; c < std::ssize(salient); ++c) {
      out[salient[c]] = grid[packed::get_code(row_codes, c)];
    }
  }
}

int64_t stored_bits(const PackedLinear& linear) {
  int64_t bits = 0;
  for (const auto bytes : bytes_of(linear)) bits += 8 * std::ssize(bytes);
  return bits;
}

int64_t stored_bits(int64_t rows, int64_t cols, int64_t salient_cols) {
  const Shapes shapes = shapes_of(rows, cols, salient_cols);
  int64_t bits = 0;
  for (size_t part = 0; part < part_count; ++part) {
    bits += 8 * elements_of(shapes[part]) * dtype_bytes(parts[part].dtype);
  }
  return bits;
}

}  // namespace bitmill
