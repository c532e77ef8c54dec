#include "method/device_grid.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/pieces.hpp"
#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "kernels/pack_signs.hpp"
#include "kernels/pack_values.hpp"
#include "kernels/row_values.hpp"

namespace bitmill {
namespace {

// [rows] float32 each.
struct RowStart {
  at::Tensor mean, mean_abs, mean_deviation, code_scale, code_zero;
};

at::Tensor floats_on(at::Device gpu, std::span<const float> values) {
  const at::Tensor host = at::empty({std::ssize(values)});
  std::copy(values.begin(), values.end(), host.mutable_data_ptr<float>());
  return host.to(gpu);
}

RowStart row_start(const at::Tensor& weight, const ColumnLists& columns,
                   const MethodSettings& settings, std::span<const float> mean_square) {
  const at::Tensor mask =
      words_on(weight.device(), pack_mask(numbers_of(columns.salient), weight.size(1)));
  const at::Tensor importance =
      settings.int4_clip ? floats_on(weight.device(), mean_square) : at::Tensor();
  const auto fresh = [&] { return at::empty({weight.size(0)}, weight.options()); };
  RowStart out = {fresh(), fresh(), fresh(), fresh(), fresh()};
  const kernels::RowValues task{weight.const_data_ptr<float>(),
                                word_memory(mask),
                                floats_or_null(importance),
                                out.mean.data_ptr<float>(),
                                out.mean_abs.data_ptr<float>(),
                                out.mean_deviation.data_ptr<float>(),
                                out.code_scale.data_ptr<float>(),
                                out.code_zero.data_ptr<float>(),
                                weight.size(0),
                                weight.size(1),
                                settings.int4_range == Int4Range::salient};
  check_cuda(kernels::row_values(task, stream_of(weight)), "row_values");
  return out;
}

at::Tensor fresh_words(const at::Tensor& like, int64_t items, int64_t per_word) {
  return at::empty({like.size(0), packed::words_for(items, per_word)},
                   like.options().dtype(at::kInt));
}

// code_of() of every salient weight, in its steps: libtorch divides, rounds half to even, adds and
// clamps as the host does.
at::Tensor packed_codes(const at::Tensor& weight, const at::Tensor& salient, const RowStart& rows) {
  constexpr int64_t stride_step = 32;  // of pack_codes()
  const int64_t count = salient.size(0);
  at::Tensor codes = weight.index_select(1, salient.to(weight.device()));
  codes.div_(rows.code_scale.unsqueeze(1)).round_().add_(rows.code_zero.unsqueeze(1));
  codes.clamp_(0, static_cast<double>(largest_grid_code));
  const at::Tensor bytes = at::zeros({weight.size(0), rounded_up(count, stride_step)},
                                     weight.options().dtype(at::kByte));
  bytes.narrow(1, 0, count).copy_(codes);
  const at::Tensor words = fresh_words(weight, count, packed::codes_per_word);
  const kernels::PackCodes task{bytes.const_data_ptr<uint8_t>(), word_memory(words), weight.size(0),
                                count, bytes.size(1)};
  check_cuda(kernels::pack_codes(task, stream_of(weight)), "pack_codes");
  return words;
}

at::Tensor packed_signs(const at::Tensor& weight, const at::Tensor& low, const RowStart& rows) {
  const at::Tensor words = fresh_words(weight, low.size(0), packed::bits_per_word);
  const at::Tensor columns = low.to(at::kInt).to(weight.device());
  const kernels::PackSigns task{weight.const_data_ptr<float>(),
                                rows.mean.const_data_ptr<float>(),
                                columns.const_data_ptr<int32_t>(),
                                word_memory(words),
                                weight.size(0),
                                weight.size(1),
                                low.size(0)};
  check_cuda(kernels::pack_signs(task, stream_of(weight)), "pack_signs");
  return words;
}

at::Tensor first_latents(const at::Tensor& weight, const at::Tensor& low, const RowStart& rows) {
  const at::Tensor deviation = rows.mean_deviation.unsqueeze(1);
  at::Tensor theta = weight.index_select(1, low.to(weight.device()));
  theta.sub_(rows.mean.unsqueeze(1)).div_(deviation);
  theta.masked_fill_(deviation == 0, 0);  // which was divided by 0
  return theta.clamp_(-largest_first_latent, largest_first_latent);
}

}  // namespace

InitialLinear quantize_on_gpu(const at::Tensor& given, const ColumnLists& columns,
                              const MethodSettings& settings, std::span<const float> mean_square) {
  const at::NoGradGuard no_grad;
  const at::Tensor weight = kernel_input(given);
  const RowStart rows = row_start(weight, columns, settings, mean_square);
  const bool learned = settings.learned.signs;
  const at::Tensor& deviation = rows.mean_deviation;
  at::Tensor alpha = settings.center ? deviation : rows.mean_abs;
  if (learned) alpha = alpha.masked_fill(deviation == 0, 0);
  InitialLinear out{{weight.size(0),
                     weight.size(1),
                     columns.low,
                     columns.salient,
                     {},
                     rows.mean,
                     packed_codes(weight, columns.salient, rows),
                     rows.code_scale,
                     rows.code_zero},
                    alpha,
                    {}};
  if (learned) {
    out.latents = first_latents(weight, columns.low, rows);
  } else {
    out.frozen.signs = packed_signs(weight, columns.low, rows);
  }
  return out;
}

}  // namespace bitmill
