#include "backend/cpu_tile.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// Strides are whole cache lines, so that every row of an operand begins on one.
constexpr int64_t floats_per_line = 16;
int64_t padded(int64_t columns) { return rounded_up(columns, floats_per_line); }

// A float32 operand [rows, padded(columns)]; the padding is zeros. fill(values, first, count) fills
// the columns of `count` rows from `first` on, for each piece of rows on one thread of the pool.
template <class Fill>
at::Tensor operand(int64_t rows, int64_t columns, ThreadPool& pool, const Fill& fill) {
  const int64_t stride = padded(columns);
  const at::Tensor out = at::empty({rows, stride});
  parallel_pieces(pool, rows, rows_per_tile, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    const at::Tensor piece = out.narrow(0, first, count);
    if (stride > columns) piece.narrow(1, columns, stride - columns).zero_();
    fill(piece.narrow(1, 0, columns), first, count);
  });
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
  signs = operand(linear.rows, low(), pool,
                  [&](const at::Tensor& values, int64_t first, int64_t count) {
                    if (parts.signs) {
                      values.zero_();
                    } else {
                      values.copy_(linear.signs.narrow(0, first, count));
                    }
                  });
  four_bit = operand(
      linear.rows, salient(), pool, [&](const at::Tensor& values, int64_t first, int64_t count) {
        const at::Tensor steps = linear.codes.narrow(0, first, count) -
                                 linear.code_zero.narrow(0, first, count).unsqueeze(1);
        values.copy_(parts.code_scales
                         ? steps
                         : linear.code_scale.narrow(0, first, count).unsqueeze(1) * steps);
      });
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
