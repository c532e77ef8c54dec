#include "backend/cpu_tile.hpp"

#include <ATen/ATen.h>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// Strides are whole cache lines, so that every row of an operand begins on one.
constexpr int64_t floats_per_line = 16;
int64_t padded(int64_t columns) { return rounded_up(columns, floats_per_line); }

// A float32 operand [rows, padded(columns)]; the padding is zeros.
at::Tensor operand(const at::Tensor& values) {
  at::Tensor out = at::zeros({values.size(0), padded(values.size(1))});
  out.narrow(1, 0, values.size(1)).copy_(values);
  return out;
}

}  // namespace

CpuPrepared::CpuPrepared(const FrozenLinear& linear, const LearnedNames& learned,
                         ThreadPool& threads)
    : frozen(linear),
      parts{.signs = learned.contains(part::latents),
            .row_means = learned.contains(part::row_mean),
            .code_scales = learned.contains(part::code_scale)},
      pool(threads) {
  signs = parts.signs ? at::zeros({linear.rows, padded(low())}) : operand(linear.signs);
  const at::Tensor steps = linear.codes - linear.code_zero.unsqueeze(1);
  four_bit = operand(parts.code_scales ? steps : linear.code_scale.unsqueeze(1) * steps);
  frozen.signs.reset();  // not needed again
  frozen.codes.reset();
}

void CpuPrepared::take_signs(const at::Tensor& latents) {
  const int64_t columns = low(), stride = signs.size(1);
  const float* from = latents.data_ptr<float>();
  float* to = signs.data_ptr<float>();
  parallel_pieces(pool, frozen.rows, rows_per_tile, [&](int64_t first, int64_t count) {
    cpu_loops::take_signs(from + first * columns, count, columns, stride, to + first * stride);
  });
}

CpuTile::CpuTile(const CpuPrepared& linear, const at::Tensor& x, const at::Tensor& col_gain,
                 int64_t first, int64_t count)
    : linear_(linear),
      first_(first),
      count_(count),
      gather_{part(x),
              linear.frozen.low_columns.data_ptr<int64_t>(),
              linear.frozen.salient_columns.data_ptr<int64_t>(),
              col_gain.data_ptr<float>(),
              count_,
              linear.frozen.cols,
              linear.low(),
              linear.salient()} {}

at::Tensor CpuTile::scratch(int64_t columns) const { return at::empty({count_, columns}); }

cpu_loops::CombineInput CpuTile::combine_input(const at::Tensor& low_product,
                                               const at::Tensor& low_sum,
                                               const at::Tensor& row_factor,
                                               const at::Tensor& mean_factor) const {
  return {part(low_product),
          part(low_sum),
          row_factor.data_ptr<float>(),
          mean_factor.data_ptr<float>(),
          count_,
          linear_.frozen.rows};
}

}  // namespace bitmill
