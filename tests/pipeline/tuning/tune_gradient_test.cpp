// The gradient of a whole packed model by its factors, against autograd and against differences.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string_view>

#include "method/pack.hpp"
#include "model/block_forward.hpp"
#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/tuning_walk.hpp"

namespace bitmill {
namespace {

// The whole model with factors, one window, on one rank.
class WholeModel {
 public:
  WholeModel(Files& files, const std::string& folder, const std::string& reference)
      : model_(files, folder),
        teacher_(files, reference),
        rotary_(make_rotary(model_.config(), tokens)),
        stage_(model_, {0, model_.config().blocks}, 1, rotary_, pool_),
        budget_(files, INT64_MAX, folder + ".scratch"),
        divergence_(model_, teacher_, pool_) {
    at::set_num_threads(1);
    for (int i = 0; i < tokens; ++i) ids_.push_back((i * 11 + 3) % 31);
    input_ = model_.embed(ids_);
    target_ = teacher_.embed(ids_);
    for (int64_t block = 0; block < teacher_.config().blocks; ++block) {
      target_ = dense_block_forward(teacher_.config(), teacher_.load_block(block), rotary_, target_,
                                    pool_);
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
    const auto backend = cpu_backend();
    stage_.take(factors);
    TuningWalk walk(
        {rank, stage_, model_.config(), rotary_, *backend, &divergence_, budget_, pool_, tokens});
    SampleStream inputs(budget_, 1, tokens, 12), targets(budget_, 1, tokens, 12);
    inputs.store(0, input_);
    targets.store(0, target_);
    const SampleShare share(1, 1, 1, 0);
    const at::Tensor losses = at::zeros({1});
    const auto sums = walk.train(share, 0, {&inputs, &targets, 0}, losses);
    if (gradient != nullptr) *gradient = sums.at(0);
    return losses.item<double>();
  }

  // The same by dense weights that autograd builds from factors and what is stored.
  at::Tensor autograd_gradient(const at::Tensor& factors) {
    const at::AutoGradMode grad_mode(true);
    const std::vector<LearnedLinear> leaves = layout().views(factors);
    const at::Tensor gradient = at::zeros_like(factors);
    torch::autograd::variable_list inputs;
    for (const LearnedSegment& segment : layout().segments()) {
      inputs.push_back(leaves[segment.linear][segment.name].requires_grad_(true));
    }
    size_t next = 0;
    at::Tensor x = input_;
    for (int64_t block = 0; block < model_.config().blocks; ++block) {
      x = block_with(block, x, leaves, next);
    }
    const HeadWeights head = model_.load_head(), teacher_head = teacher_.load_head();
    const at::Tensor log_q =
        at::log_softmax(at::mm(head_input(model_.config(), head, x, pool_), head.head.t()), -1);
    const at::Tensor log_p =
        at::log_softmax(head_logits(teacher_.config(), teacher_head, target_, pool_), -1);
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

  at::Tensor block_with(int64_t block, const at::Tensor& x,
                        const std::vector<LearnedLinear>& leaves, size_t& next) {
    std::vector<at::Tensor> weights;
    for (const LinearShape& shape : block_linears(model_.config(), block)) {
      if (!is_packed(model_.tensors(), shape.tensor)) {
        weights.push_back(model_.load_linear(shape));
        continue;
      }
      const PackedLinear packed =
          read_packed_linear(model_.tensors(), shape.tensor, shape.rows, shape.cols);
      const InitialLinear linear = unpack_linear(packed, pool_);
      const LearnedLinear& factor = leaves[next++];
      const at::Tensor low =
          factor[part::row_gain].unsqueeze(1) *
          (widened(packed.col_gain) * factor[part::col_gain]) *
          ((linear.row_scale * factor[part::row_scale]).unsqueeze(1) * linear.frozen.signs +
           linear.frozen.row_mean.unsqueeze(1));
      weights.push_back(at::tensor(dequantize(packed))
                            .view({shape.rows, shape.cols})
                            .index_copy(1, linear.frozen.low_columns, low));
    }
    return block_forward(
        model_.config(), model_.load_vectors(block), rotary_, x,
        [&](size_t i, const at::Tensor& in) { return at::mm(in, weights[i].t()); }, pool_);
  }

  ThreadPool pool_{1};
  const SourceModel model_, teacher_;
  const Rotary rotary_;
  TunedStage stage_;
  StreamBudget budget_;
  const NextTokenDivergence divergence_;
  std::vector<int32_t> ids_;
  at::Tensor input_, target_;
};

TEST_F(Tune, GradientOfTheWholeModelIsAutogradsOnDenseWeights) {
  WholeModel whole(*files_, folder_ / "packed", folder_ / "model");
  const at::Tensor factors = whole.some_factors();
  at::Tensor mine;
  whole.run(factors, &mine);
  const at::Tensor theirs = whole.autograd_gradient(factors);
  for (const LearnedSegment& segment : whole.layout().segments()) {
    const at::Tensor a = mine.narrow(0, segment.offset, segment.size);
    const at::Tensor b = theirs.narrow(0, segment.offset, segment.size);
    EXPECT_GT(b.norm().item<float>(), 0);
    EXPECT_LE((a - b).norm().item<float>(), 1e-4F * b.norm().item<float>() + 1e-7F)
        << "linear " << segment.linear << ", " << segment.name;
  }
}

// Along the gradient of each kind of factor alone, the loss must rise by that gradient's norm.
TEST_F(Tune, GradientOfTheWholeModelIsTheSlopeOfTheLoss) {
  WholeModel whole(*files_, folder_ / "packed", folder_ / "model");
  const at::Tensor factors = whole.some_factors();
  at::Tensor gradient;
  whole.run(factors, &gradient);
  for (const std::string_view kind : {part::row_scale, part::row_gain, part::col_gain}) {
    const at::Tensor direction = at::zeros({gradient.numel()}, at::kDouble);
    for (const LearnedSegment& segment : whole.layout().segments()) {
      if (segment.name != kind) continue;
      direction.narrow(0, segment.offset, segment.size)
          .copy_(gradient.narrow(0, segment.offset, segment.size));
    }
    const double norm = direction.norm().item<double>();
    const auto loss_at = [&](double distance) {
      return whole.run(factors + (direction * distance / norm).to(at::kFloat));
    };
    const auto slope = [&](double h) { return (loss_at(h) - loss_at(-h)) / (2 * h); };
    constexpr double h = 2e-2;
    EXPECT_NEAR((4 * slope(h) - slope(2 * h)) / 3, norm, 0.01 * norm + 1e-5) << kind;
  }
}

}  // namespace
}  // namespace bitmill
