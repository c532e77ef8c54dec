// The gradient of one sample: against finite differences, the reference backend, and itself on
// other numbers of threads.

#include "method/student_block.hpp"
#include "base/pieces.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "method/block_configs.hpp"
#include "method/loss.hpp"
#include "model/family.hpp"
#include "model/one_thread.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

using test::llama;
using test::opt;
using test::qwen3;

using Roles = std::set<LinearRole>;

struct LossAndGradient {
  double loss = 0;
  at::Tensor gradient;
};

// A block of odd sizes with random weights, the linears of some roles kept, and one sample.
class RandomBlock {
 public:
  RandomBlock(int64_t tokens, const Roles& kept, const ModelConfig& config = llama(),
              const MethodSettings& settings = {})
      : config_(config), loss_(settings.loss) {
    at::manual_seed(1);
    const int64_t hidden = config_.hidden_size;
    weights_.vectors = test::random_vectors(config_);
    ThreadPool pool(1);
    std::vector<LearnedTensors> learned;
    for (const LinearShape& shape : block_linears(config_, 0)) {
      const at::Tensor weight = at::randn({shape.rows, shape.cols}) * 0.3;
      const at::Tensor saliency = at::rand({shape.cols});
      weights_.linears.push_back(weight);
      if (kept.contains(shape.role)) {
        linears_.push_back({{}, weight});
        continue;
      }
      linears_.push_back(
          {quantize_linear(weight, {saliency.data_ptr<float>(), static_cast<size_t>(shape.cols)},
                           settings, pool),
           {}});
      learned.push_back(learned_of(linears_.back().initial, settings));
    }
    layout_ = std::make_unique<LearnedLayout>(learned);
    learned_ = layout_->initial_values(learned);
    for (float& value : floats_of(learned_)) value *= 0.8F + 0.4F * at::rand({1}).item<float>();
    rotary_ = make_rotary(config_, tokens);
    // Near the input, so that no cosine is near 0: there its logarithm is too steep for
    // differences.
    const at::Tensor input = at::randn({tokens, hidden});
    const at::Tensor normal = input + 0.5 * at::randn({tokens, hidden});
    sample_ = {input, normal, normal + 0.3 * at::randn({tokens, hidden})};
  }

  const ModelConfig& config() const { return config_; }
  const BlockWeights& weights() const { return weights_; }
  const Rotary& rotary() const { return rotary_; }
  const TrainingSample& sample() const { return sample_; }
  const std::vector<LearnedSegment>& segments() const { return layout_->segments(); }
  const at::Tensor& learned() const { return learned_; }

  LossAndGradient run(const Backend& backend, const at::Tensor& learned, int threads = 1) const {
    ThreadPool pool(threads, [] { at::set_num_threads(1); });
    StudentBlock student(config_, weights_.vectors, linears_, *layout_, loss_, backend, rotary_,
                         pool);
    student.begin_step(learned);
    // Whatever was there before: all of the gradient is written, and of the losses one slot.
    const at::Tensor gradient = at::full_like(learned, NAN), losses = at::full({3}, -1.0);
    student.unit_gradient(sample_, learned, gradient, losses[1]);
    EXPECT_EQ(losses[0].item<float>() + losses[2].item<float>(), -2);
    return {losses[1].item<double>(), gradient};
  }

 private:
  const ModelConfig config_;
  const LossSettings loss_;
  BlockWeights weights_;
  std::vector<BlockLinear> linears_;
  std::unique_ptr<LearnedLayout> layout_;
  at::Tensor learned_;
  Rotary rotary_;
  TrainingSample sample_;
};

// Linears kept: none, one inside the block, one that ends it, and all but one.
class StudentBlockKeeping : public testing::TestWithParam<Roles> {};
INSTANTIATE_TEST_SUITE_P(Some, StudentBlockKeeping,
                         testing::Values(Roles{}, Roles{LinearRole::up}, Roles{LinearRole::down},
                                         Roles{LinearRole::key, LinearRole::value,
                                               LinearRole::attention_output, LinearRole::gate,
                                               LinearRole::up, LinearRole::down}),
                         [](const auto& tested) {
                           return std::to_string(tested.param.size()) + "Roles" +
                                  std::to_string(tested.index);
                         });

// Along the gradient of each learned tensor alone, the loss must rise by that gradient's norm.
// Central differences at h and 2h, combined so that errors of second order cancel.
void expect_slope(const RandomBlock& block) {
  const auto backend = cpu_backend();
  const at::Tensor gradient = block.run(*backend, block.learned()).gradient;
  for (const LearnedSegment& segment : block.segments()) {
    if (segment.name == part::latents) continue;  // no slope: the loss sees signs alone
    const at::Tensor slice = gradient.narrow(0, segment.offset, segment.size).to(at::kDouble);
    const double norm = slice.norm().item<double>();
    const auto loss_at = [&](double distance) {
      const at::Tensor moved = block.learned().clone();
      moved.narrow(0, segment.offset, segment.size).add_((slice * distance / norm).to(at::kFloat));
      return block.run(*backend, moved).loss;
    };
    const auto slope = [&](double h) { return (loss_at(h) - loss_at(-h)) / (2 * h); };
    constexpr double h = 4e-3;
    EXPECT_NEAR((4 * slope(h) - slope(2 * h)) / 3, norm, 0.01 * norm + 3e-4)
        << "linear " << segment.linear << ", " << segment.name;
  }
}

TEST_P(StudentBlockKeeping, GradientIsTheSlopeOfTheLoss) {
  expect_slope(RandomBlock(11, GetParam()));
}

TEST(StudentBlock, GradientIsTheSlopeOfTheLossInOtherFamilies) {
  expect_slope(RandomBlock(11, {}, opt()));
  expect_slope(RandomBlock(11, {LinearRole::up}, opt()));
  expect_slope(RandomBlock(11, {}, qwen3()));
}

TEST_P(StudentBlockKeeping, BackendsAgreeOnLossAndGradient) {
  for (const int64_t tokens : {1, 7, 33}) {
    const RandomBlock block(tokens, GetParam());
    const LossAndGradient fast = block.run(*cpu_backend(), block.learned());
    const LossAndGradient truth = block.run(*reference_backend(), block.learned());
    EXPECT_NEAR(fast.loss, truth.loss, 1e-5 * std::abs(truth.loss));
    const at::Tensor &a = fast.gradient, &b = truth.gradient;
    EXPECT_LE((a - b).norm().item<float>(), 1e-5 * b.norm().item<float>()) << tokens << " tokens";
  }
}

// 300 tokens are more than a tile, and no multiple of it.
TEST_P(StudentBlockKeeping, BitsDoNotDependOnThreads) {
  static_assert(300 > tokens_per_tile && 300 % tokens_per_tile != 0);
  const RandomBlock block(300, GetParam());
  const LossAndGradient one = block.run(*cpu_backend(), block.learned(), 1);
  for (const int threads : {2, 3}) {
    const LossAndGradient many = block.run(*cpu_backend(), block.learned(), threads);
    EXPECT_EQ(many.loss, one.loss);
    EXPECT_TRUE(at::equal(many.gradient, one.gradient));
  }
}

// Every part learned, a loss of its own: the reference goes through autograd, the cpu backend
// through its products.
class EverythingLearned : public testing::Test {
 protected:
  static MethodSettings settings() {
    MethodSettings all;
    all.learned = {true, true, true};
    all.loss = {ErrorKind::relative, 1.0, 0.25};
    return all;
  }
};

TEST_F(EverythingLearned, BackendsAgreeOnLossAndGradient) {
  for (const int64_t tokens : {1, 7, 33}) {
    const RandomBlock block(tokens, {LinearRole::key}, llama(), settings());
    const LossAndGradient fast = block.run(*cpu_backend(), block.learned());
    const LossAndGradient truth = block.run(*reference_backend(), block.learned());
    EXPECT_NEAR(fast.loss, truth.loss, 1e-5 * std::abs(truth.loss));
    const at::Tensor &a = fast.gradient, &b = truth.gradient;
    EXPECT_LE((a - b).norm().item<float>(), 1e-5 * b.norm().item<float>()) << tokens << " tokens";
    if (tokens == 1) continue;  // attention to oneself alone does not depend on the query
    for (const LearnedSegment& segment : block.segments()) {
      EXPECT_GT(b.narrow(0, segment.offset, segment.size).abs().max().item<float>(), 0)
          << "linear " << segment.linear << ", " << segment.name;
    }
  }
}

TEST_F(EverythingLearned, BitsDoNotDependOnThreads) {
  const RandomBlock block(300, {}, llama(), settings());
  const LossAndGradient one = block.run(*cpu_backend(), block.learned(), 1);
  const LossAndGradient many = block.run(*cpu_backend(), block.learned(), 3);
  EXPECT_EQ(many.loss, one.loss);
  EXPECT_TRUE(at::equal(many.gradient, one.gradient));
}

TEST_F(EverythingLearned, VectorsHaveTheSlopeOfTheLoss) {
  expect_slope(RandomBlock(11, {}, llama(), settings()));
}

// Where nothing is learned the student is the deployed block, bit for bit.
TEST(StudentBlock, KeptLinearsComputeWhatTheDeployedBlockComputes) {
  const RandomBlock block(
      300, {LinearRole::query, LinearRole::key, LinearRole::value, LinearRole::attention_output,
            LinearRole::gate, LinearRole::up, LinearRole::down});
  ThreadPool pool(1);
  const TrainingSample& sample = block.sample();
  const at::Tensor deployed =
      dense_block_forward(block.config(), block.weights(), block.rotary(), sample.input, pool);
  EXPECT_EQ(block.run(*cpu_backend(), block.learned(), 2).loss,
            sample_loss(deployed, sample.normal, sample.homologous).item<double>());
}

TEST(StudentBlock, DenseLinearHasTheSameBitsAndTheProductsGradientWhereOneIsAskedFor) {
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const at::Tensor weight = at::randn({17, 13});
  const at::Tensor plain = at::randn({300, 13}), x = plain.clone().requires_grad_(true);
  const at::Tensor y = dense_linear(x, weight, pool), g = at::randn({300, 17});
  EXPECT_TRUE(at::equal(y.detach(), dense_linear(plain, weight, pool)));
  y.backward(g);
  EXPECT_TRUE(at::allclose(x.grad(), at::mm(g, weight), 1e-5, 1e-5));
}

}  // namespace
}  // namespace bitmill
