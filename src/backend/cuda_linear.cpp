#include "backend/cuda_linear.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <vector>

#include "base/pieces.hpp"
#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "kernels/add_table.hpp"
#include "kernels/gather.hpp"

namespace bitmill {
namespace {

at::Tensor operand_memory(int64_t rows, int64_t columns, at::Device device,
                          at::ScalarType element) {
  return at::zeros({rows, rounded_up(columns, kernels::operand_step)},
                   at::device(device).dtype(element));
}

GatheredInput run_gather(const CudaLinearParts& linear, const at::Tensor& x,
                         const at::Tensor& col_gain, bool whole) {
  const int64_t tokens = x.size(0);
  GatheredInput out;
  out.low = linear.fresh(tokens, linear.signs.size(1));
  at::Tensor sums;
  if (whole) {
    out.salient = linear.fresh(tokens, linear.codes.size(1));
    sums = linear.fresh_floats(kernels::column_tiles(linear.cols), tokens);
  }
  const kernels::Gather task{x.const_data_ptr(),
                             linear.split(),
                             col_gain.const_data_ptr<float>(),
                             out.low.data_ptr(),
                             whole ? out.salient.data_ptr() : nullptr,
                             floats_or_null(sums),
                             tokens,
                             linear.signs.size(1),
                             linear.codes.size(1),
                             linear.kernel_element()};
  check_cuda(kernels::gather(task, stream_of(x)), "gather");
  if (whole) out.low_sum = sum_of_rows(sums);
  return out;
}

}  // namespace

CudaLinearParts::CudaLinearParts(const FrozenLinear& linear, const LearnedNames& learned,
                                 at::Device device, at::ScalarType type)
    : rows(linear.rows),
      cols(linear.cols),
      low(linear.low_columns.size(0)),
      salient(linear.salient_columns.size(0)),
      parts{.signs = learned.contains(part::latents),
            .row_means = learned.contains(part::row_mean),
            .code_scales = learned.contains(part::code_scale)},
      element(type),
      signs(operand_memory(rows, low, device, type)),
      codes(operand_memory(rows, salient, device, type)),
      frozen_row_mean(linear.row_mean.to(device)),
      frozen_code_scale(linear.code_scale.to(device)) {
  const at::NoGradGuard no_grad;
  make_operands(linear);
  const at::Tensor salient_columns = linear.salient_columns.cpu();
  const std::vector<uint32_t> mask = pack_mask(numbers_of(salient_columns), linear.cols);
  mask_ = words_on(device, mask);
  low_before_ = words_on(device, kernels::count_low_before(mask));
}

void CudaLinearParts::make_operands(const FrozenLinear& linear) {
  if (linear.codes.is_cuda()) {
    if (!parts.signs) {
      kernels::SignsOperand stored = {};
      stored.words = word_memory(linear.signs);
      write_signs(stored);
    }
    const kernels::CodesOperand task{word_memory(linear.codes),
                                     linear.code_zero.const_data_ptr<float>(),
                                     codes.data_ptr(),
                                     rows,
                                     salient,
                                     codes.size(1),
                                     kernel_element()};
    check_cuda(kernels::codes_operand(task, stream_of(codes)), "codes_operand");
    return;
  }
  // Bytes are what goes to the device, where they become elements.
  const at::Device device = codes.device();
  if (!parts.signs) signs.narrow(1, 0, low).copy_(linear.signs.to(device));
  at::Tensor steps = codes.narrow(1, 0, salient);
  steps.copy_(linear.codes.to(device));
  steps.sub_(linear.code_zero.to(device).to(element).unsqueeze(1));
}

void CudaLinearParts::write_signs(kernels::SignsOperand from) {
  from.operand = signs.data_ptr();
  from.rows = rows;
  from.low = low;
  from.stride = signs.size(1);
  from.element = kernel_element();
  check_cuda(kernels::signs_operand(from, stream_of(signs)), "signs_operand");
}

void CudaLinearParts::take(const LearnedLinear& learned) {
  const at::NoGradGuard no_grad;
  const at::Tensor row_gain = learned[part::row_gain];
  row_factor = row_gain * learned[part::row_scale];
  mean_factor = row_gain * learned_or(learned, part::row_mean, frozen_row_mean);
  if (!parts.signs) return;
  kernels::SignsOperand latents = {};
  latents.latents = learned[part::latents].const_data_ptr<float>();
  write_signs(latents);
}

kernels::ColumnSplit CudaLinearParts::split() const {
  return {word_memory(mask_), low_before_.const_data_ptr<int32_t>(), cols, low};
}

kernels::Element CudaLinearParts::kernel_element() const { return element_of(signs); }

at::Tensor CudaLinearParts::fresh(int64_t tokens, int64_t columns) const {
  return at::empty({tokens, columns}, signs.options());
}

at::Tensor CudaLinearParts::fresh_floats(int64_t first, int64_t second) const {
  return at::empty({first, second}, signs.options().dtype(at::kFloat));
}

GatheredInput gather_input(const CudaLinearParts& linear, const at::Tensor& x,
                           const at::Tensor& col_gain) {
  return run_gather(linear, x, col_gain, /*whole=*/true);
}

at::Tensor gather_low(const CudaLinearParts& linear, const at::Tensor& x,
                      const at::Tensor& col_gain) {
  return run_gather(linear, x, col_gain, /*whole=*/false).low;
}

at::Tensor sum_of_rows(const at::Tensor& table) {
  const at::Tensor sum = at::empty({table.size(1)}, table.options());
  kernels::AddTables task{};
  task.tables[0] = {table.const_data_ptr<float>(), sum.data_ptr<float>(), table.size(0),
                    table.size(1)};
  task.count = 1;
  check_cuda(kernels::add_tables(task, stream_of(table)), "add_tables");
  return sum;
}

}  // namespace bitmill
