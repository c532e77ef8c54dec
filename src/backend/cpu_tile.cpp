#include "backend/cpu_tile.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// Strides are whole cache lines, so that every row of an operand begins on one.
constexpr int64_t bytes_per_line = 64;
int64_t padded(int64_t columns, at::ScalarType type) {
  return rounded_up(columns, bytes_per_line / static_cast<int64_t>(at::elementSize(type)));
}

// An operand [rows, padded(columns)]; the padding is zeros. fill(values, first, count) fills
// the columns of `count` rows from `first` on, for each piece of rows on one thread of the pool.
template <class Fill>
at::Tensor make_operand(int64_t rows, int64_t columns, at::ScalarType type, ThreadPool& pool,
                        const Fill& fill) {
  const int64_t stride = padded(columns, type);
  const at::Tensor out = at::empty({rows, stride}, type);
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
                         at::ScalarType operand_type, ThreadPool& threads)
    : frozen(linear),
      parts{.signs = learned.contains(part::latents),
            .row_means = learned.contains(part::row_mean),
            .code_scales = learned.contains(part::code_scale)},
      operand(operand_type),
      pool(threads) {
  signs = make_operand(linear.rows, low(), operand, pool,
                       [&](const at::Tensor& values, int64_t first, int64_t count) {
                         if (parts.signs) {
                           values.zero_();
                         } else {
                           values.copy_(linear.signs.narrow(0, first, count));
                         }
                       });
  four_bit = make_operand(
      linear.rows, salient(), operand, pool,
      [&](const at::Tensor& values, int64_t first, int64_t count) {
        const at::Tensor steps = linear.codes.narrow(0, first, count) -
                                 linear.code_zero.narrow(0, first, count).unsqueeze(1);
        values.copy_(scales_after()
                         ? steps
                         : linear.code_scale.narrow(0, first, count).unsqueeze(1) * steps);
      });
  frozen.signs.reset();  // not needed again
  frozen.codes.reset();
}

void CpuPrepared::take_signs(const at::Tensor& latents) {
  const int64_t columns = low(), stride = signs.size(1);
  const float* from = latents.data_ptr<float>();
  parallel_pieces(pool, frozen.rows, rows_per_tile, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    const at::Tensor rows = signs.narrow(0, first, count);
    const at::Tensor values = operand == at::kFloat ? rows : at::empty({count, stride});
    cpu_loops::take_signs(from + first * columns, count, columns, stride, values.data_ptr<float>());
    if (operand != at::kFloat) rows.copy_(values);
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
