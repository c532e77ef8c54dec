#pragma once
// One packed linear, in memory and as named tensors. Byte layout: packed_layout.hpp and FORMAT.md.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

// It stands for this weight, in source columns:
//   salient column:  code_scale[i] * (code[i][c] - code_zero[i])
//   low column:      col_gain[j] * (row_scale[i] * sign[i][j] + row_mean[i])
// with row_scale = alpha r1 and row_mean = mu r1, each folded and then rounded to float16.
struct PackedLinear {
  int64_t rows = 0;          // out features
  int64_t cols = 0;          // in features
  int64_t salient_cols = 0;  // set bits of mask

  std::vector<uint32_t> signs;       // [rows, words_for(low_cols, 32)]
  std::vector<uint32_t> codes;       // [rows, words_for(salient_cols, 8)]
  std::vector<uint32_t> mask;        // [words_for(cols, 32)]
  std::vector<uint32_t> code_zero;   // [words_for(rows, 8)]
  std::vector<uint16_t> row_scale;   // float16 [rows]
  std::vector<uint16_t> row_mean;    // float16 [rows]
  std::vector<uint16_t> col_gain;    // float16 [low_cols]
  std::vector<uint16_t> code_scale;  // float16 [rows]

  int64_t low_cols() const { return cols - salient_cols; }
};

// The tensors of a packed linear are called `name` + suffix, where `name` is that of the 16-bit
// weight.
struct PackedPart {
  const char* suffix;
  Dtype dtype;
};
// ".signs", ".codes", ".mask", ".code_zero", ".row_scale", ".row_mean", ".col_gain", ".code_scale"
std::span<const PackedPart> packed_parts();

// The tensors to be written, in the order of packed_parts(). They keep `linear` alive.
std::vector<TensorSource> packed_tensors(const std::string& name,
                                         const std::shared_ptr<const PackedLinear>& linear);

// Is called with the name and the bytes of a tensor that was read.
using HearTensor = std::function<void(const std::string& tensor, std::span<const std::byte> bytes)>;

// Reads every part of the linear `name` once. FormatError when parts are missing, sizes disagree
// with `rows` x `cols`, padding bits are set, or a stored float is not finite. `hear`, if given, is
// called with every part before its content is checked; only the sizes and the padding of the mask
// are checked before that.
PackedLinear read_packed_linear(const TensorFolder& tensors, const std::string& name, int64_t rows,
                                int64_t cols, const HearTensor& hear = {});
// The same from memory: `stored` has the bytes of every part, in the order of packed_parts().
// `name` is for errors. REQUIRES rows, cols >= 0.
PackedLinear copy_packed_linear(std::span<const std::span<const std::byte>> stored, int64_t rows,
                                int64_t cols, const std::string& name);
// The mask of `cols` columns, of which these are salient.
std::vector<uint32_t> pack_mask(std::span<const int64_t> salient_columns, int64_t cols);
// True when any part of the linear is there: an incomplete linear counts as packed, and reading it
// then throws.
bool is_packed(const TensorFolder& tensors, const std::string& name);
// The names of the packed weights of a folder, sorted. They all end in ".weight": a model may have
// a tensor `attn.mask` of its own, which is no part of a packed weight.
std::vector<std::string> packed_names(const TensorFolder& tensors);

struct PackedShape {
  int64_t rows = 0, cols = 0, salient_cols = 0;
};
// The shape of a packed weight. Reads only headers and the mask. Checks that every part is there,
// with the dtype and the shape that follow from it.
PackedShape read_packed_shape(const TensorFolder& tensors, const std::string& name);

// float32 [rows, cols], row-major, by the formula above in float32, left to right as written.
std::vector<float> dequantize(const PackedLinear& linear);
// The same, into `weight` of rows * cols floats.
void dequantize(const PackedLinear& linear, std::span<float> weight);

// The number of stored bits of this linear, padding included.
int64_t stored_bits(const PackedLinear& linear);
// The same from shapes alone.
int64_t stored_bits(int64_t rows, int64_t cols, int64_t salient_cols);

}  // namespace bitmill
