// Second moments of what a block's linears read: the part of every linear against the products of
// the inputs that a forward of the test's own meets.

#include "method/input_moments.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "method/block_configs.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using Width = MomentLayout::Width;

constexpr int64_t tokens = 9;

// A block with random weights, and one sample.
class ProbedBlock {
 public:
  explicit ProbedBlock(const ModelConfig& config)
      : config_(config), shapes_(block_linears(config, 0)), rotary_(make_rotary(config, tokens)) {
    at::manual_seed(4);
    x_ = at::randn({tokens, config.hidden_size});
    weights_.vectors = test::random_vectors(config);
    for (const LinearShape& shape : shapes_) {
      weights_.linears.push_back(at::randn({shape.rows, shape.cols}) * 0.3);
    }
  }

  const std::vector<LinearShape>& shapes() const { return shapes_; }

  // The sample's sums, every one of which must be written.
  at::Tensor sums(const MomentLayout& layout) {
    at::Tensor values = at::full({layout.size()}, NAN);
    const at::Tensor out = layout.probing_forward(config_, weights_, rotary_, x_, values, pool_);
    EXPECT_TRUE(at::equal(out, dense_block_forward(config_, weights_, rotary_, x_, pool_)));
    return values;
  }

  // What each linear reads, [tokens, cols] float64.
  std::vector<at::Tensor> inputs() {
    std::vector<at::Tensor> seen(shapes_.size());
    block_forward(
        config_, weights_.vectors, rotary_, x_,
        [&](size_t linear, const at::Tensor& input) {
          seen[linear] = input.to(at::kDouble);
          return at::mm(input, weights_.linears[linear].t());
        },
        pool_);
    return seen;
  }

 private:
  const ModelConfig config_;
  const std::vector<LinearShape> shapes_;
  const Rotary rotary_;
  BlockWeights weights_;
  at::Tensor x_;
  ThreadPool pool_{2, [] { at::set_num_threads(1); }};
};

// x^T x / T as a layout of this width holds it: [cols, cols], or its diagonal [cols].
at::Tensor second_moments(const at::Tensor& x, Width width) {
  const at::Tensor pairs = at::mm(x.t(), x) / tokens;
  return width == Width::pairs ? pairs : pairs.diagonal();
}

void expect_moments_of_every_linear(const ModelConfig& config, Width width) {
  ProbedBlock block(config);
  const MomentLayout layout(block.shapes(), width);
  const at::Tensor sums = block.sums(layout);
  const std::vector<at::Tensor> inputs = block.inputs();
  for (size_t linear = 0; linear < inputs.size(); ++linear) {
    const LinearShape& shape = block.shapes()[linear];
    const at::Tensor expected = second_moments(inputs[linear], width);
    const at::Tensor actual = layout.part(sums, shape.role).to(at::kDouble) / tokens;
    ASSERT_EQ(actual.sizes(), expected.sizes()) << shape.tensor;
    EXPECT_LE((actual - expected).abs().max().item<double>(),
              1e-5 * expected.abs().max().item<double>())
        << shape.tensor;
  }
}

TEST(InputMoments, OfEveryLinearAreTheProductsOfItsOwnInput) {
  for (const ModelConfig& config : {test::llama(), test::opt(), test::qwen3()}) {
    for (const Width width : {Width::channels, Width::pairs}) {
      expect_moments_of_every_linear(config, width);
    }
  }
}

// Products are made 128 rows at a time.
TEST(InputMoments, OfManyChannelsAreMadeInPieces) {
  ModelConfig config = test::llama();
  config.intermediate_size = 300;
  expect_moments_of_every_linear(config, Width::pairs);
}

TEST(InputMoments, OfSingleChannelsAreTheDiagonalsOfThoseOfPairs) {
  ProbedBlock block(test::llama());
  const MomentLayout channels(block.shapes(), Width::channels), pairs(block.shapes(), Width::pairs);
  const at::Tensor expected = block.sums(channels);
  EXPECT_TRUE(at::equal(channels.mean_squares(expected), expected));
  const at::Tensor actual = pairs.mean_squares(block.sums(pairs));
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_TRUE(at::allclose(actual, expected, 1e-5, 0));
}

TEST(InputMoments, AreAsWideAsTheSettingsNeed) {
  MethodSettings settings;
  EXPECT_FALSE(MomentLayout::needed(settings).has_value());
  settings.int4_clip = true;
  EXPECT_TRUE(MomentLayout::needed(settings) == Width::channels);
  settings.init = Init::descent;
  EXPECT_TRUE(MomentLayout::needed(settings) == Width::pairs);
}

}  // namespace
}  // namespace bitmill
