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
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  // Leaves of this sample's own graph, over memory that all samples share.
  std::vector<LearnedLinear> leaves = layout_.views(writable(learned));
  std::vector<LearnedLinear> places = layout_.views(gradient);
  torch::autograd::variable_list inputs;
  for (const LearnedSegment& segment : layout_.segments()) {
    at::Tensor& leaf = leaves[segment.linear].*member_of(segment.kind);
    inputs.push_back(leaf.requires_grad_(true));
    leaves[segment.linear].latent_gradient = places[segment.linear].latents;
  }
  const at::Tensor loss =
      sample_loss(forward(sample.input, leaves), sample.normal, sample.homologous, loss_);
  if (inputs.empty()) return loss.item<double>();  // every linear is kept
  const auto gradients = torch::autograd::grad({loss}, inputs, /*grad_outputs=*/{},
                                               /*retain_graph=*/std::nullopt,
                                               /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const LearnedSegment& segment = layout_.segments()[i];
    if (segment.kind == LearnedKind::latents) continue;  // written by the backward pass
    (places[segment.linear].*member_of(segment.kind)).copy_(gradients[i]);
  }
  return loss.item<double>();
}

}  // namespace bitmill
