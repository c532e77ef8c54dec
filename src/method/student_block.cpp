#include "method/student_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "method/loss.hpp"

namespace bitmill {
namespace {

// from_blob takes writable memory; nothing writes to learned values through these views.
std::span<float> writable(std::span<const float> values) {
  return {const_cast<float*>(values.data()), values.size()};
}

// The learned values as leaves of one sample's own graph, over memory that all samples share.
struct Leaves {
  Leaves(const LearnedLayout& of, std::span<const float> learned, std::span<float> gradient)
      : layout(of), linears(of.views(writable(learned))), places(of.views(gradient)) {
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    for (const LearnedSegment& segment : of.segments()) {
      at::Tensor& leaf = linears[segment.linear].*member_of(segment.kind);
      inputs.push_back(leaf.requires_grad_(true));
      linears[segment.linear].latent_gradient = places[segment.linear].latents;
    }
  }

  // `gradients` begin with those of `inputs`. Latents' are written by the backward pass.
  void store(const torch::autograd::variable_list& gradients) {
    for (size_t i = 0; i < layout.segments().size(); ++i) {
      const LearnedSegment& segment = layout.segments()[i];
      if (segment.kind == LearnedKind::latents) continue;
      (places[segment.linear].*member_of(segment.kind)).copy_(gradients[i]);
    }
  }

  const LearnedLayout& layout;
  std::vector<LearnedLinear> linears;
  std::vector<LearnedLinear> places;  // where the gradients go
  torch::autograd::variable_list inputs;
};

torch::autograd::variable_list gradients_of(const at::Tensor& output, const at::Tensor& gradient,
                                            const torch::autograd::variable_list& inputs) {
  torch::autograd::variable_list given;
  if (gradient.defined()) given.push_back(gradient);
  return torch::autograd::grad({output}, inputs, given, /*retain_graph=*/std::nullopt,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

}  // namespace

StudentBlock::StudentBlock(const ModelConfig& config, BlockVectors vectors,
                           std::span<const BlockLinear> linears, const LearnedLayout& layout,
                           const LossSettings& loss, const Backend& backend, const Rotary& rotary,
                           ThreadPool& pool)
    : config_(config),
      vectors_(std::move(vectors)),
      layout_(layout),
      loss_(loss),
      rotary_(rotary),
      pool_(pool) {
  for (const BlockLinear& linear : linears) {
    student_of_.push_back(linear.quantized() ? static_cast<int>(students_.size()) : -1);
    kept_.push_back(linear.kept);
    if (linear.quantized())
      students_.push_back(backend.prepare(linear.initial.frozen, layout.parts(), pool));
  }
}

at::Tensor StudentBlock::forward(const at::Tensor& x,
                                 const std::vector<LearnedLinear>& learned) const {
  return block_forward(
      config_, vectors_, rotary_, x,
      [&](size_t linear, const at::Tensor& input) {
        const int student = student_of_[linear];
        if (student < 0) return dense_linear(input, kept_[linear], pool_);
        return students_[student]->forward(input, learned[student]);
      },
      pool_);
}

void StudentBlock::take_signs(std::span<const float> learned) {
  if (!layout_.parts().signs) return;
  const std::vector<LearnedLinear> views = layout_.views(writable(learned));
  for (size_t i = 0; i < views.size(); ++i) students_[i]->take_signs(views[i].latents);
}

double StudentBlock::unit_gradient(const TrainingSample& sample, std::span<const float> learned,
                                   std::span<float> gradient) const {
  const at::AutoGradMode grad_mode(true);
  Leaves leaves(layout_, learned, gradient);
  const at::Tensor loss =
      sample_loss(forward(sample.input, leaves.linears), sample.normal, sample.homologous, loss_);
  // Without inputs, every linear is kept.
  if (!leaves.inputs.empty()) leaves.store(gradients_of(loss, {}, leaves.inputs));
  return loss.item<double>();
}

at::Tensor StudentBlock::output(const at::Tensor& x, std::span<const float> learned) const {
  const at::NoGradGuard no_grad;
  return forward(x, layout_.views(writable(learned)));
}

at::Tensor StudentBlock::backward(const at::Tensor& x, const at::Tensor& output_gradient,
                                  std::span<const float> learned, std::span<float> gradient,
                                  bool wants_input) const {
  const at::AutoGradMode grad_mode(true);
  Leaves leaves(layout_, learned, gradient);
  const at::Tensor input = x.detach().requires_grad_(wants_input);
  torch::autograd::variable_list inputs = leaves.inputs;
  if (wants_input) inputs.push_back(input);
  if (inputs.empty()) return {};
  const auto gradients = gradients_of(forward(input, leaves.linears), output_gradient, inputs);
  leaves.store(gradients);
  return wants_input ? gradients.back() : at::Tensor();
}

}  // namespace bitmill
