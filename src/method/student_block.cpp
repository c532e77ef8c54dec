#include "method/student_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "method/loss.hpp"

namespace bitmill {
namespace {

// The learned values as leaves of one sample's own graph. Their memory is the same for all samples.
struct Leaves {
  Leaves(const LearnedLayout& of, const at::Tensor& learned, const at::Tensor& into)
      : layout(of), gradient(into), linears(of.views(learned, into)) {
    layout.clear_small(gradient);
    for (const LearnedSegment& segment : layout.segments()) {
      inputs.push_back(linears[segment.linear][segment.name].requires_grad_(true));
    }
  }

  // `gradients` begin with those of `inputs`. Large ones are written by the backward pass.
  void store(const torch::autograd::variable_list& gradients) {
    for (size_t i = 0; i < layout.segments().size(); ++i) {
      const LearnedSegment& segment = layout.segments()[i];
      if (!segment.large) LearnedLayout::view(gradient, segment).copy_(gradients[i]);
    }
  }

  const LearnedLayout& layout;
  const at::Tensor gradient;
  const std::vector<LearnedLinear> linears;
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
    Linear& one = linears_.emplace_back(Linear{-1, linear.kept, linear.adapter});
    if (!linear.learns()) continue;
    one.learns = static_cast<int>(students_.size());
    students_.emplace_back();
    if (linear.quantized()) {
      students_.back() = backend.prepare(linear.initial.frozen, layout.names(one.learns), pool);
    }
  }
}

at::Tensor StudentBlock::forward(const at::Tensor& x, const std::vector<LearnedLinear>& learned,
                                 const Draw& draw) const {
  return block_forward(
      config_, vectors_, rotary_, x,
      [&](size_t index, const at::Tensor& input) {
        const Linear& linear = linears_[index];
        if (linear.learns < 0) return dense_linear(input, linear.kept, pool_);
        const auto number = static_cast<size_t>(linear.learns);
        const LearnedLinear& values = learned[number];
        if (!linear.adapter) return students_[number]->forward(input, values);
        return adapted_linear(input, linear.kept, values[part::lora_a], values[part::lora_b],
                              *linear.adapter, draw, pool_);
      },
      pool_);
}

void StudentBlock::begin_step(const at::Tensor& learned) {
  const std::vector<LearnedLinear> views = layout_.views(learned);
  for (size_t i = 0; i < views.size(); ++i) {
    if (students_[i]) students_[i]->begin_step(views[i]);
  }
}

void StudentBlock::unit_gradient(const TrainingSample& sample, const at::Tensor& learned,
                                 const at::Tensor& gradient, const at::Tensor& loss) const {
  const at::AutoGradMode grad_mode(true);
  Leaves leaves(layout_, learned, gradient);
  const at::Tensor value =
      sample_loss(forward(sample.input, leaves.linears), sample.normal, sample.homologous, loss_);
  // Without inputs, no linear learns.
  if (!leaves.inputs.empty()) leaves.store(gradients_of(value, {}, leaves.inputs));
  loss.copy_(value.detach());
}

at::Tensor StudentBlock::output(const at::Tensor& x, const at::Tensor& learned,
                                const Draw& draw) const {
  const at::NoGradGuard no_grad;
  return forward(x, layout_.views(learned), draw);
}

at::Tensor StudentBlock::backward(const at::Tensor& x, const at::Tensor& output_gradient,
                                  const at::Tensor& learned, const at::Tensor& gradient,
                                  bool wants_input, const Draw& draw) const {
  const at::AutoGradMode grad_mode(true);
  Leaves leaves(layout_, learned, gradient);
  const at::Tensor input = x.detach().requires_grad_(wants_input);
  torch::autograd::variable_list inputs = leaves.inputs;
  if (wants_input) inputs.push_back(input);
  if (inputs.empty()) return {};
  const auto gradients =
      gradients_of(forward(input, leaves.linears, draw), output_gradient, inputs);
  leaves.store(gradients);
  return wants_input ? gradients.back() : at::Tensor();
}

}  // namespace bitmill
