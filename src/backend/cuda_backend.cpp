// The factored form on a GPU, as kernels/STEP.md has it: kernels around cublasLt products, all
// queued on one stream.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include "backend/backend.hpp"
#include "backend/cuda_linear.hpp"
#include "base/error.hpp"
#include "device/kernel_input.hpp"
#include "device/product.hpp"
#include "device/queue.hpp"
#include "kernels/combine.hpp"
#include "kernels/row_gradients.hpp"
#include "kernels/scatter.hpp"
#include "kernels/split_gradient.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the forward pass leaves behind.
struct CudaForward {
  at::Tensor y;                // element [T, rows]
  at::Tensor low_product;      // element [T, rows], u
  at::Tensor low_sum;          // float32 [T], v
  at::Tensor salient_product;  // element [T, rows], w; where s is learned
};

CudaForward cuda_forward(const CudaLinearParts& linear, const at::Tensor& x,
                         const at::Tensor& col_gain, const at::Tensor& code_scale) {
  const int64_t tokens = x.size(0);
  const GatheredInput input = gather_input(linear, x, col_gain);
  const at::Tensor low_product = linear.fresh(tokens, linear.rows);
  product_into(low_product, input.low, linear.signs.t());
  const at::Tensor salient_product = linear.fresh(tokens, linear.rows);
  product_into(salient_product, input.salient, linear.codes.t());
  const bool kept = linear.parts.code_scales;
  const at::Tensor y = kept ? linear.fresh(tokens, linear.rows) : salient_product;
  const kernels::Combine task{low_product.const_data_ptr(),
                              salient_product.const_data_ptr(),
                              input.low_sum.const_data_ptr<float>(),
                              linear.row_factor.const_data_ptr<float>(),
                              linear.mean_factor.const_data_ptr<float>(),
                              code_scale.const_data_ptr<float>(),
                              y.data_ptr(),
                              tokens,
                              linear.rows,
                              linear.kernel_element()};
  check_cuda(kernels::combine(task, stream_of(x)), "combine");
  return {y, low_product, input.low_sum, kept ? salient_product : at::Tensor()};
}

// The backward pass of one sample, in the order of STEP.md's table.
class CudaBackward {
 public:
  CudaBackward(const CudaLinearParts& linear, const variable_list& saved,
               const at::Tensor& gradient, bool needs_x)
      : linear_(linear),
        x_(saved[0]),
        row_scale_(saved[1]),
        row_gain_(saved[2]),
        col_gain_(saved[3]),
        row_mean_(saved[4]),
        code_scale_(saved[5]),
        low_product_(saved[6]),
        low_sum_(saved[7]),
        salient_product_(saved[8]),
        gradient_(gradient),
        needs_x_(needs_x),
        tokens_(x_.size(0)),
        tiles_(kernels::token_tiles(tokens_)) {}

  void split() {
    const int64_t rows = linear_.rows;
    low_gradient_ = linear_.fresh(tokens_, rows);
    if (needs_x_) salient_gradient_ = linear_.fresh(tokens_, rows);
    const at::Tensor mean_table = linear_.fresh_floats(kernels::row_tiles(rows), tokens_);
    scale_sum_ = linear_.fresh_floats(tiles_, rows);
    mean_sum_ = linear_.fresh_floats(tiles_, rows);
    if (linear_.parts.code_scales) code_scale_sum_ = linear_.fresh_floats(tiles_, rows);
    const kernels::SplitGradient task{
        gradient_.const_data_ptr(),
        low_product_.const_data_ptr(),
        linear_.parts.code_scales ? salient_product_.const_data_ptr() : nullptr,
        low_sum_.const_data_ptr<float>(),
        linear_.row_factor.const_data_ptr<float>(),
        linear_.mean_factor.const_data_ptr<float>(),
        code_scale_.const_data_ptr<float>(),
        low_gradient_.data_ptr(),
        needs_x_ ? salient_gradient_.data_ptr() : nullptr,
        mean_table.data_ptr<float>(),
        scale_sum_.data_ptr<float>(),
        mean_sum_.data_ptr<float>(),
        floats_or_null(code_scale_sum_),
        tokens_,
        rows,
        linear_.kernel_element()};
    check_cuda(kernels::split_gradient(task, stream_of(x_)), "split_gradient");
    mean_gradient_ = sum_of_rows(mean_table);
  }

  // Fills `gradients`, in the order of CudaFactoredLinear::forward's arguments.
  void to_rows(variable_list& gradients) const {
    const auto of = [&](bool wanted) { return wanted ? at::empty_like(row_scale_) : at::Tensor(); };
    gradients[1] = of(true);
    gradients[2] = of(true);
    gradients[4] = of(linear_.parts.row_means);
    gradients[5] = of(linear_.parts.code_scales);
    const kernels::RowGradients task{scale_sum_.const_data_ptr<float>(),
                                     mean_sum_.const_data_ptr<float>(),
                                     floats_or_null(code_scale_sum_),
                                     row_scale_.const_data_ptr<float>(),
                                     row_gain_.const_data_ptr<float>(),
                                     row_mean_.const_data_ptr<float>(),
                                     gradients[1].data_ptr<float>(),
                                     gradients[2].data_ptr<float>(),
                                     floats_or_null(gradients[4]),
                                     floats_or_null(gradients[5]),
                                     tiles_,
                                     linear_.rows};
    check_cuda(kernels::row_gradients(task, stream_of(x_)), "row_gradients");
  }

  void to_columns(variable_list& gradients) const {
    const at::Tensor low = linear_.fresh(tokens_, linear_.signs.size(1));
    product_into(low, low_gradient_, linear_.signs);
    at::Tensor salient;
    if (needs_x_) {
      salient = linear_.fresh(tokens_, linear_.codes.size(1));
      product_into(salient, salient_gradient_, linear_.codes);
      gradients[0] = linear_.fresh(tokens_, linear_.cols);
    }
    const at::Tensor gain_table = linear_.fresh_floats(tiles_, linear_.low);
    const kernels::Scatter task{x_.const_data_ptr(),
                                linear_.split(),
                                col_gain_.const_data_ptr<float>(),
                                low.const_data_ptr(),
                                needs_x_ ? salient.const_data_ptr() : nullptr,
                                mean_gradient_.const_data_ptr<float>(),
                                needs_x_ ? gradients[0].data_ptr() : nullptr,
                                gain_table.data_ptr<float>(),
                                tokens_,
                                linear_.signs.size(1),
                                linear_.codes.size(1),
                                linear_.kernel_element()};
    check_cuda(kernels::scatter(task, stream_of(x_)), "scatter");
    gradients[3] = sum_of_rows(gain_table);
  }

  // dS_ij = r1_i alpha_i sum_t g_ti x^_tj, without the window.
  void to_latents(const at::Tensor& place) const {
    const at::Tensor low = gather_low(linear_, x_, col_gain_);
    product_into(place, low_gradient_.t(), low.narrow(1, 0, linear_.low));
  }

 private:
  const CudaLinearParts& linear_;
  const at::Tensor x_, row_scale_, row_gain_, col_gain_, row_mean_, code_scale_;
  const at::Tensor low_product_, low_sum_, salient_product_, gradient_;
  const bool needs_x_;
  const int64_t tokens_, tiles_;
  at::Tensor low_gradient_;      // element [T, rows], r1 alpha g
  at::Tensor salient_gradient_;  // element [T, rows], s g; where the gradient of x is wanted
  at::Tensor mean_gradient_;     // float32 [T]
  at::Tensor scale_sum_, mean_sum_, code_scale_sum_;  // tables [tiles, rows]
};

struct CudaFactoredLinear : torch::autograd::Function<CudaFactoredLinear> {
  // row_mean and code_scale are given always. Latents that are not learned are empty; they are an
  // argument so that autograd knows of them.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& row_scale, const at::Tensor& row_gain,
                            const at::Tensor& col_gain, const at::Tensor& row_mean,
                            const at::Tensor& code_scale, const at::Tensor& /*latents*/,
                            const at::Tensor& latent_gradient, int64_t linear_address) {
    const CudaForward done = cuda_forward(linear_at(linear_address), x, col_gain, code_scale);
    context->save_for_backward({x, row_scale, row_gain, col_gain, row_mean, code_scale,
                                done.low_product, done.low_sum, done.salient_product});
    context->saved_data["latent_gradient"] = latent_gradient;
    context->saved_data["linear"] = linear_address;
    return done.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const CudaLinearParts& linear = linear_at(context->saved_data["linear"].toInt());
    const variable_list saved = context->get_saved_variables();
    CudaBackward way(linear, saved, kernel_input(gradients[0]), context->needs_input_grad(0));
    variable_list out(9);
    way.split();
    way.to_rows(out);
    way.to_columns(out);
    if (linear.parts.signs) way.to_latents(context->saved_data["latent_gradient"].toTensor());
    return out;
  }

 private:
  // An autograd context keeps integers and tensors only.
  static const CudaLinearParts& linear_at(int64_t address) {
    return *reinterpret_cast<const CudaLinearParts*>(address);
  }
};

class CudaLinear final : public StudentLinear {
 public:
  CudaLinear(const FrozenLinear& frozen, const LearnedNames& learned, at::Device device,
             at::ScalarType element)
      : linear_(frozen, learned, device, element) {}

  void begin_step(const LearnedLinear& learned) override { linear_.take(learned); }

  at::Tensor forward(const at::Tensor& x, const LearnedLinear& learned) const override {
    const bool fits = x.dim() == 2 && x.size(1) == linear_.cols &&
                      x.scalar_type() == linear_.element && x.device() == linear_.signs.device();
    BITMILL_CHECK(
        fits, DeviceError,
        fmt::format("a linear of {} columns on {} in {} was given an input of {} [{}] on "
                    "{}",
                    linear_.cols, linear_.signs.device().str(), at::toString(linear_.element),
                    at::toString(x.scalar_type()),
                    fmt::join(x.sizes().begin(), x.sizes().end(), ", "), x.device().str()));
    const at::Tensor row_scale = learned[part::row_scale];
    const auto given = [&](const at::Tensor& part) {
      return part.defined() ? part : at::empty({0}, linear_.row_factor.options());
    };
    return CudaFactoredLinear::apply(
        kernel_input(x), row_scale, learned[part::row_gain], learned[part::col_gain],
        learned_or(learned, part::row_mean, linear_.frozen_row_mean),
        learned_or(learned, part::code_scale, linear_.frozen_code_scale),
        given(learned[part::latents]), given(learned.gradient_place(part::latents)),
        reinterpret_cast<int64_t>(&linear_));
  }

 private:
  CudaLinearParts linear_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(at::Device device, at::ScalarType element) : device_(device), element_(element) {}

  std::string_view name() const override { return "cuda"; }
  std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen, const LearnedNames& learned,
                                         ThreadPool& /*pool*/) const override {
    return std::make_unique<CudaLinear>(frozen, learned, device_, element_);
  }

 private:
  const at::Device device_;
  const at::ScalarType element_;
};

}  // namespace

std::unique_ptr<Backend> cuda_backend(at::Device device, at::ScalarType element) {
  const bool known = element == at::kFloat || element == at::kBFloat16;
  BITMILL_CHECK(device.is_cuda() && known, DeviceError,
                fmt::format("the cuda backend computes in float32 or bfloat16 on a GPU, not in {} "
                            "on {}",
                            at::toString(element), device.str()));
  return std::make_unique<CudaBackend>(device, element);
}

}  // namespace bitmill
