// The reference, as simple as possible: one line for each formula of METHOD.md, "The quantized
// weight" and "Learned signs".

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "backend/backend.hpp"
#include "backend/learned_parts.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// S as a function of theta whose gradient is 1 within the window and 0 outside.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& latents,
                            const at::Tensor& signs, const at::Tensor& latent_gradient) {
    context->save_for_backward({latents});
    context->saved_data["latent_gradient"] = latent_gradient;
    return signs.clone();
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor inside =
        context->get_saved_variables()[0].abs() < double{straight_through_window};
    context->saved_data["latent_gradient"].toTensor().copy_(gradients[0] * inside);
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class ReferenceLinear final : public StudentLinear {
 public:
  explicit ReferenceLinear(const FrozenLinear& frozen) : frozen_(frozen) {}

  void begin_step(const LearnedLinear& learned) override {
    const at::Tensor latents = learned[part::latents];
    if (latents.defined()) taken_signs_ = at::where(latents >= 0, at::ones({}), -at::ones({}));
  }

  at::Tensor forward(const at::Tensor& x, const LearnedLinear& learned) const override {
    const at::Tensor latents = learned[part::latents];
    const at::Tensor signs =
        latents.defined()
            ? StraightThrough::apply(latents, taken_signs_, learned.gradient_place(part::latents))
            : frozen_.signs;
    const at::Tensor row_mean = learned_or(learned, part::row_mean, frozen_.row_mean);
    const at::Tensor code_scale = learned_or(learned, part::code_scale, frozen_.code_scale);
    // W_low = r1_i r2_j (alpha_i S_ij + mu_i)   [rows, low]
    const at::Tensor low = learned[part::row_gain].unsqueeze(1) *
                           learned[part::col_gain].unsqueeze(0) *
                           (learned[part::row_scale].unsqueeze(1) * signs + row_mean.unsqueeze(1));
    // W_salient = s_i (q_ij - z_i)              [rows, salient]
    const at::Tensor salient =
        code_scale.unsqueeze(1) * (frozen_.codes - frozen_.code_zero.unsqueeze(1));
    return at::mm(x.index_select(1, frozen_.low_columns), low.t()) +
           at::mm(x.index_select(1, frozen_.salient_columns), salient.t());
  }

 private:
  const FrozenLinear frozen_;
  at::Tensor taken_signs_;  // [rows, low]
};

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen,
                                         const LearnedNames& /*learned*/,
                                         ThreadPool& /*pool*/) const override {
    return std::make_unique<ReferenceLinear>(frozen);
  }
};

}  // namespace

std::unique_ptr<Backend> reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace bitmill
