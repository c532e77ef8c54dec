#include "method/student_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "method/loss.hpp"

namespace bitmill {
namespace {

// The learned tensors of one sample as leaves of its own graph, over memory that all samples share.
std::vector<LearnedScales> as_leaves(std::vector<LearnedScales> views) {
  for (LearnedScales& scales : views) {
    for (at::Tensor* leaf : {&scales.row_scale, &scales.row_gain, &scales.col_gain}) {
      leaf->requires_grad_(true);
    }
  }
  return views;
}

at::Tensor tensor_of(const LearnedScales& scales, LearnedKind kind) {
  switch (kind) {
    case LearnedKind::row_scale:
      return scales.row_scale;
    case LearnedKind::row_gain:
      return scales.row_gain;
    case LearnedKind::col_gain:
      return scales.col_gain;
  }
  return {};
}

// from_blob takes writable memory; nothing writes to learned values through these views.
std::span<float> writable(std::span<const float> values) {
  return {const_cast<float*>(values.data()), values.size()};
}

}  // namespace

StudentBlock::StudentBlock(const ModelConfig& config, BlockVectors vectors,
                           std::span<const BlockLinear> linears, const LearnedLayout& layout,
                           const Backend& backend, const Rotary& rotary, ThreadPool& pool)
    : config_(config), vectors_(std::move(vectors)), layout_(layout), rotary_(rotary), pool_(pool) {
  for (const BlockLinear& linear : linears) {
    student_of_.push_back(linear.quantized() ? static_cast<int>(students_.size()) : -1);
    kept_.push_back(linear.kept);
    if (linear.quantized()) students_.push_back(backend.prepare(linear.initial.frozen, pool));
  }
}

at::Tensor StudentBlock::forward(const at::Tensor& x,
                                 const std::vector<LearnedScales>& learned) const {
  return block_forward(
      config_, vectors_, rotary_, x,
      [&](size_t linear, const at::Tensor& input) {
        const int student = student_of_[linear];
        if (student < 0) return dense_linear(input, kept_[linear], pool_);
        return students_[student]->forward(input, learned[student]);
      },
      pool_);
}

double StudentBlock::unit_gradient(const TrainingSample& sample, std::span<const float> learned,
                                   std::span<float> gradient) const {
  const at::AutoGradMode grad_mode(true);
  const std::vector<LearnedScales> leaves = as_leaves(layout_.views(writable(learned)));
  const at::Tensor loss =
      sample_loss(forward(sample.input, leaves), sample.normal, sample.homologous);

  torch::autograd::variable_list inputs;
  for (const LearnedSegment& segment : layout_.segments()) {
    inputs.push_back(tensor_of(leaves[segment.linear], segment.kind));
  }
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  if (inputs.empty()) return loss.item<double>();  // every linear is kept
  const auto gradients = torch::autograd::grad({loss}, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const LearnedSegment& segment = layout_.segments()[i];
    const at::Tensor values = gradients[i].contiguous();
    std::copy_n(values.data_ptr<float>(), segment.size, gradient.data() + segment.offset);
  }
  return loss.item<double>();
}

}  // namespace bitmill
