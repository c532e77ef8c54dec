// What is measured of a block's inputs on a GPU, and the divergence of next tokens, against the
// CPU's.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "device/gpu_fixture.hpp"
#include "method/block_configs.hpp"
#include "method/input_moments.hpp"
#include "method/next_token_divergence.hpp"
#include "method/saliency.hpp"
#include "model/device_weights.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using test::relative_gap;

constexpr int64_t measured_tokens = 9;

class StatisticsOnGpu : public test::OnGpu {
 protected:
  void SetUp() override {
    test::OnGpu::SetUp();
    weights_.vectors = test::random_vectors(config_);
    for (const LinearShape& shape : shapes_) {
      weights_.linears.push_back(at::randn({shape.rows, shape.cols}) * 0.3);
    }
    x_ = at::randn({measured_tokens, config_.hidden_size});
  }

  // Runs `probe` on the CPU, and on a GPU with results there and on the host. `probe` takes the
  // block's weights, tables, input and the tensor to fill.
  template <class Probe>
  void expect_as_on_the_cpu(int64_t size, at::ScalarType type, const Probe& probe) {
    const at::Tensor expected = at::full({size}, NAN, type);
    const at::Tensor out = probe(weights_, rotary_, x_, expected);
    for (const auto& [element, bound] :
         {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 0.05}}) {
      const auto device = device_of(element);
      const BlockWeights there = on_device(weights_, *device);
      const Rotary tables = on_device(rotary_, *device);
      for (const at::Device place : {at::Device(at::kCPU), device->torch()}) {
        const at::Tensor measured = at::full({size}, NAN, at::device(place).dtype(type));
        const at::Tensor out_there = probe(there, tables, device->bring(x_), measured);
        EXPECT_LT(relative_gap(out_there, out), bound);
        EXPECT_LT(relative_gap(measured, expected), bound) << element << " on " << place;
      }
    }
  }

  const ModelConfig config_ = test::llama();
  const std::vector<LinearShape> shapes_ = block_linears(config_, 0);
  const Rotary rotary_ = make_rotary(config_, measured_tokens);
  BlockWeights weights_;
  at::Tensor x_;
};

TEST_F(StatisticsOnGpu, SaliencyIsThatOfTheCpu) {
  const SaliencyLayout layout(shapes_);
  for (const Saliency kind : {Saliency::max, Saliency::mean}) {
    expect_as_on_the_cpu(layout.size(), at::kDouble,
                         [&](const BlockWeights& weights, const Rotary& rotary, const at::Tensor& x,
                             const at::Tensor& statistics) {
                           return probing_forward(config_, weights, rotary, x, kind, layout,
                                                  statistics, pool_);
                         });
  }
}

TEST_F(StatisticsOnGpu, MomentsAreThoseOfTheCpu) {
  using Width = MomentLayout::Width;
  for (const Width width : {Width::channels, Width::pairs}) {
    const MomentLayout layout(shapes_, width);
    expect_as_on_the_cpu(layout.size(), at::kFloat,
                         [&](const BlockWeights& weights, const Rotary& rotary, const at::Tensor& x,
                             const at::Tensor& sums) {
                           return layout.probing_forward(config_, weights, rotary, x, sums, pool_);
                         });
  }
}

TEST_F(StatisticsOnGpu, MeanSquaresOfPairsAreTheirDiagonals) {
  const MomentLayout layout(shapes_, MomentLayout::Width::pairs);
  const at::Tensor sums = at::randn({layout.size()});
  EXPECT_TRUE(at::equal(layout.mean_squares(device_of(at::kFloat)->bring(sums)).cpu(),
                        layout.mean_squares(sums)));
}

// More positions than a tile has.
constexpr int64_t positions = 300;

class DivergenceOnGpu : public test::OnGpu {
 protected:
  SourceModel random_model(const test::ScratchFolder& folder, uint64_t seed, bool other_head) {
    auto config = test::tiny_config();
    config["max_position_embeddings"] = 512;
    std::vector<TensorSource> tensors = test::tiny_tensors(config, seed);
    if (other_head) tensors.back() = test::random_tensor("lm_head.weight", {31, 12}, seed + 77);
    test::write_model(*files_, folder.path(), config, tensors);
    return SourceModel(*files_, folder.path());
  }

  const std::unique_ptr<Files> files_ = posix_files();
  const test::ScratchFolder teacher_folder_, student_folder_;
};

TEST_F(DivergenceOnGpu, IsThatOfTheCpuAndSoIsItsGradient) {
  const SourceModel teacher = random_model(teacher_folder_, 1, false);
  for (const bool other_head : {false, true}) {
    const SourceModel student = random_model(student_folder_, 1, other_head);
    const at::Tensor x = at::randn({positions, 12}), y = at::randn({positions, 12});
    at::Tensor expected_gradient, gradient;
    const double expected = NextTokenDivergence(student, teacher, pool_)(x, y, &expected_gradient);
    for (const auto& [element, bound] :
         {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 0.03}}) {
      const auto device = device_of(element);
      const NextTokenDivergence divergence(student, teacher, *device);
      const at::Tensor there = device->bring(x), target = device->bring(y);
      EXPECT_NEAR(divergence(there, target, &gradient), expected, bound * expected);
      EXPECT_EQ(gradient.scalar_type(), element);
      EXPECT_LT(relative_gap(gradient, expected_gradient), bound);
      EXPECT_EQ(divergence(there, target), divergence(there, target, &gradient));
      if (!other_head) {
        EXPECT_NEAR(divergence(there, there), 0, 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace bitmill
