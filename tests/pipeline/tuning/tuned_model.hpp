#pragma once
// A whole packed model with factors, one window, on one rank: its loss and gradient by the walk of
// `tune`, and by autograd in float64.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <vector>

#include "method/pack.hpp"
#include "method/tuned_block.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"
#include "pipeline/tuning/tuning_walk.hpp"

namespace bitmill {

class TunedModel {
 public:
  // The device outlives it.
  TunedModel(Files& files, const std::string& folder, const std::string& reference,
             const Device& device)
      : device_(device),
        pool_(device.host()),
        model_(files, folder),
        teacher_(files, reference),
        host_rotary_(make_rotary(model_.config(), tokens)),
        rotary_(on_device(host_rotary_, device)),
        stage_({0, model_.config().blocks},
               [&](int64_t block) {
                 return std::make_unique<TunedBlock>(model_, block, 1, rotary_, device);
               }),
        budget_(files, INT64_MAX, folder + ".scratch"),
        divergence_(model_, teacher_, device) {
    at::set_num_threads(1);
    for (int i = 0; i < tokens; ++i) ids_.push_back((i * 11 + 3) % 31);
    input_ = model_.embed(ids_);
    target_ = teacher_.embed(ids_);
    for (int64_t block = 0; block < teacher_.config().blocks; ++block) {
      target_ = dense_block_forward(teacher_.config(), teacher_.load_block(block), host_rotary_,
                                    target_, pool_);
    }
  }

  const LearnedLayout& layout() const { return stage_.layout(); }

  // Factors that are not 1, so that one in a wrong place shows.
  at::Tensor some_factors() const {
    return 1 + 0.3 * at::sin(at::arange(layout().size()).to(at::kFloat));
  }

  double run(const at::Tensor& factors, at::Tensor* gradient = nullptr) {
    const auto comm = self_communicator();
    MeshRank rank({1, 1}, *comm);
    const auto backend = make_backend("cpu", device_);
    stage_.take(device_.bring(factors, at::kFloat));
    TuningWalk walk({rank, stage_, model_.config(), rotary_, *backend, budget_, device_, tokens});
    SampleStream inputs(budget_, 1, tokens, 12), targets(budget_, 1, tokens, 12);
    inputs.store(0, input_);
    targets.store(0, target_);
    const SampleShare share(1, 1, 1, 0);
    const at::Tensor losses = at::zeros({1});
    const auto sums =
        walk.train(share, 0, DivergenceEnds(&inputs, &targets, &divergence_, 0, device_), losses);
    if (gradient != nullptr) *gradient = device_.fetch(sums.at(0));
    return losses.item<double>();
  }

  // The same in float64, by dense weights that autograd builds from factors and what is stored.
  at::Tensor autograd_gradient(const at::Tensor& factors) {
    const at::AutoGradMode grad_mode(true);
    const std::vector<LearnedLinear> leaves = layout().views(factors.to(at::kDouble));
    const at::Tensor gradient = at::zeros_like(factors);
    torch::autograd::variable_list inputs;
    for (const LearnedSegment& segment : layout().segments()) {
      inputs.push_back(leaves[segment.linear][segment.name].requires_grad_(true));
    }
    size_t next = 0;
    at::Tensor x = input_.to(at::kDouble);
    for (int64_t block = 0; block < model_.config().blocks; ++block) {
      x = block_with(block, x, leaves, next);
    }
    const HeadWeights head = wide(model_.load_head()), teacher_head = wide(teacher_.load_head());
    const auto log_softmax = [&](const HeadWeights& weights, const at::Tensor& out) {
      return at::log_softmax(
          at::mm(head_input(model_.config(), weights, out, pool_), weights.head.t()), -1);
    };
    const at::Tensor log_q = log_softmax(head, x);
    const at::Tensor log_p = log_softmax(teacher_head, target_.to(at::kDouble)).detach();
    const at::Tensor loss = (log_p.exp() * (log_p - log_q)).sum(-1).mean();
    const auto gradients = torch::autograd::grad({loss}, inputs);
    for (size_t i = 0; i < gradients.size(); ++i) {
      const LearnedSegment& segment = layout().segments()[i];
      gradient.narrow(0, segment.offset, segment.size).copy_(gradients[i]);
    }
    return gradient;
  }

 private:
  static constexpr int64_t tokens = 9;

  static at::Tensor wide(const at::Tensor& tensor) {
    return tensor.defined() ? tensor.to(at::kDouble) : tensor;
  }
  static Norm wide(const Norm& norm) { return {wide(norm.weight), wide(norm.bias)}; }
  static HeadWeights wide(const HeadWeights& head) {
    return {wide(head.norm), wide(head.projection), wide(head.head)};
  }
  static BlockVectors wide(const BlockVectors& vectors) {
    BlockVectors out{wide(vectors.input_norm), wide(vectors.middle_norm), wide(vectors.query_norm),
                     wide(vectors.key_norm), vectors.biases};
    for (at::Tensor& bias : out.biases) bias = wide(bias);
    return out;
  }

  at::Tensor block_with(int64_t block, const at::Tensor& x,
                        const std::vector<LearnedLinear>& leaves, size_t& next) {
    std::vector<at::Tensor> weights;
    for (const LinearShape& shape : block_linears(model_.config(), block)) {
      if (!is_packed(model_.tensors(), shape.tensor)) {
        weights.push_back(wide(model_.load_linear(shape)));
        continue;
      }
      const PackedLinear packed =
          read_packed_linear(model_.tensors(), shape.tensor, shape.rows, shape.cols);
      const InitialLinear linear = unpack_linear(packed, *cpu_device(pool_));
      const LearnedLinear& factor = leaves[next++];
      const at::Tensor low =
          factor[part::row_gain].unsqueeze(1) *
          (wide(widened(packed.col_gain)) * factor[part::col_gain]) *
          ((wide(linear.row_scale) * factor[part::row_scale]).unsqueeze(1) * linear.frozen.signs +
           wide(linear.frozen.row_mean).unsqueeze(1));
      weights.push_back(wide(at::tensor(dequantize(packed)))
                            .view({shape.rows, shape.cols})
                            .index_copy(1, linear.frozen.low_columns, low));
    }
    return block_forward(
        model_.config(), wide(model_.load_vectors(block)),
        {wide(host_rotary_.cosine), wide(host_rotary_.sine)}, x,
        [&](size_t i, const at::Tensor& in) { return at::mm(in, weights[i].t()); }, pool_);
  }

  const Device& device_;
  ThreadPool& pool_;
  const SourceModel model_, teacher_;
  const Rotary host_rotary_, rotary_;
  TrainedStage stage_;
  StreamBudget budget_;
  const NextTokenDivergence divergence_;
  std::vector<int32_t> ids_;
  at::Tensor input_, target_;
};

}  // namespace bitmill
