// A linear with an adapter against autograd in float64, its dropout, the loss of the next token,
// and what a block with adapters is merged to.

#include "method/lora_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "method/adapted_linear.hpp"
#include "method/block_configs.hpp"
#include "method/next_token_loss.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

struct LinearShapeCase {
  int64_t tokens, rows, cols, rank;
};

// More tokens than a tile, and more rows or columns than a piece of a gradient.
constexpr std::array<LinearShapeCase, 3> linear_cases = {
    {{9, 7, 5, 3}, {300, 1100, 33, 4}, {260, 20, 1500, 2}}};

TEST(AdaptedLinear, ValueAndGradientsAreAutogradsInFloat64) {
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  for (const LinearShapeCase& shape : linear_cases) {
    at::manual_seed(4);
    const at::AutoGradMode grad_mode(true);
    const auto leaf = [](const at::Tensor& value) { return value.detach().requires_grad_(true); };
    const at::Tensor weight = at::randn({shape.rows, shape.cols});
    const at::Tensor x = leaf(at::randn({shape.tokens, shape.cols}));
    const at::Tensor a = leaf(at::randn({shape.rank, shape.cols}));
    const at::Tensor b = leaf(at::randn({shape.rows, shape.rank}));
    const at::Tensor g = at::randn({shape.tokens, shape.rows});
    const Adapter adapter{0.25, 0.3, 17};
    const Draw draw = draw_of(5, 6);
    const at::Tensor y = adapted_linear(x, weight, a, b, adapter, draw, pool);
    const auto mine = torch::autograd::grad({y}, {x, a, b}, {g});

    const at::Tensor mask = dropout_mask(*draw, 17, 0.3, shape.tokens, shape.cols, pool);
    const auto wide = [&](const at::Tensor& t) { return leaf(t.detach().to(at::kDouble)); };
    const at::Tensor wx = wide(x), wa = wide(a), wb = wide(b);
    const at::Tensor wy = wx.mm(weight.to(at::kDouble).t()) +
                          (wx * mask.to(at::kDouble) / 0.7).mm(wa.t()).mm(wb.t()) * 0.25;
    const auto theirs = torch::autograd::grad({wy}, {wx, wa, wb}, {g.to(at::kDouble)});
    const auto near = [](const at::Tensor& one, const at::Tensor& other) {
      return (one.to(at::kDouble) - other).norm().item<double>() <
             1e-5 * other.norm().item<double>();
    };
    EXPECT_TRUE(near(y, wy)) << shape.rows;
    for (size_t i = 0; i < mine.size(); ++i) EXPECT_TRUE(near(mine[i], theirs[i])) << i;
  }
}

TEST(AdaptedLinear, DropoutFollowsFromDrawAndLinearForAnyThreads) {
  ThreadPool one(1), three(3);
  constexpr int64_t tokens = 40, cols = 5003;  // more than a task, and no multiple of four
  const at::Tensor mask = dropout_mask(draw_of(1, 2), 3, 0.1, tokens, cols, one);
  EXPECT_TRUE(at::equal(mask, dropout_mask(draw_of(1, 2), 3, 0.1, tokens, cols, three)));
  // Another seed, sequence or linear leaves out others: about 0.18 of the entries differ.
  for (const at::Tensor& other : {dropout_mask(draw_of(2, 2), 3, 0.1, tokens, cols, one),
                                  dropout_mask(draw_of(1, 3), 3, 0.1, tokens, cols, one),
                                  dropout_mask(draw_of(1, 2), 4, 0.1, tokens, cols, one)}) {
    EXPECT_NEAR((mask != other).to(at::kFloat).mean().item<float>(), 0.18, 0.01);
  }
  EXPECT_NEAR(mask.mean().item<float>(), 0.9, 0.005);
  EXPECT_TRUE(((mask == 0) | (mask == 1)).all().item<bool>());
}

TEST(AdaptedLinear, WithoutADrawNothingIsLeftOut) {
  ThreadPool pool(1);
  at::manual_seed(1);
  const at::Tensor x = at::randn({4, 6}), w = at::randn({5, 6}), a = at::randn({2, 6}),
                   b = at::randn({5, 2});
  const at::Tensor y = adapted_linear(x, w, a, b, {0.5, 0.9, 0}, {}, pool);
  EXPECT_TRUE(at::allclose(y, x.mm(w.t()) + 0.5 * x.mm(a.t()).mm(b.t()), 1e-5, 1e-5));
}

// Along its own gradient the output times g must rise by the gradient's norm, with the inputs that
// the draw leaves out left out in both passes.
TEST(AdaptedBlock, TheGradientIsTheSlopeOfTheOutputUnderTheSameDraw) {
  ThreadPool pool(1, [] { at::set_num_threads(1); });
  for (const ModelConfig& config : {test::llama(), test::opt()}) {
    at::manual_seed(3);
    std::vector<BlockLinear> linears;
    std::vector<LearnedTensors> learned;
    for (const LinearShape& shape : block_linears(config, 0)) {
      BlockLinear& linear = linears.emplace_back();
      linear.kept = at::randn({shape.rows, shape.cols}) * 0.3;
      if (shape.role == LinearRole::attention_output) continue;
      linear.adapter = Adapter{0.5, 0.4, static_cast<uint32_t>(linears.size())};
      learned.push_back({{std::string(part::lora_a), {3, shape.cols}, 1},
                         {std::string(part::lora_b), {shape.rows, 3}, 1}});
    }
    const LearnedLayout layout(learned);
    const auto backend = reference_backend();
    const Rotary rotary = make_rotary(config, 8);
    const StudentBlock block(config, test::random_vectors(config), linears, layout, {}, *backend,
                             rotary, pool);
    const at::Tensor x = at::randn({8, config.hidden_size}), g = at::randn_like(x);
    const at::Tensor values = at::randn({layout.size()}) * 0.3, gradient = at::empty_like(values);
    const Draw draw = draw_of(7, 8);
    block.backward(x, g, values, gradient, false, draw);
    const double norm = gradient.norm().item<double>();
    const auto at_distance = [&](double h) {
      const at::Tensor moved = values + gradient * (h / norm);
      return (block.output(x, moved, draw) * g).to(at::kDouble).sum().item<double>();
    };
    constexpr double h = 1e-2;
    const double slope = (at_distance(h) - at_distance(-h)) / (2 * h);
    EXPECT_NEAR(slope, norm, 0.01 * norm) << config.family->architecture;
    // Another draw is another function.
    const at::Tensor other = at::empty_like(values);
    block.backward(x, g, values, other, false, draw_of(7, 9));
    EXPECT_GT((other - gradient).norm().item<double>(), 0.1 * norm);
  }
}

// A model with more positions than a tile has and a large vocabulary.
class NextToken : public testing::Test {
 protected:
  NextToken() {
    auto config = test::tiny_config();
    config["max_position_embeddings"] = 512;
    config["vocab_size"] = 1500;
    const auto files = posix_files();
    test::write_model(*files, folder_.path(), config, test::tiny_tensors(config));
    model_.emplace(*files, folder_.path());
    at::manual_seed(2);
    output_ = at::randn({400, 12});
    for (int i = 0; i < 400; ++i) tokens_.push_back((i * 37 + 5) % 1500);
  }

  // Of the first `count` tokens, by autograd in float64.
  std::pair<double, at::Tensor> expected(int64_t count) {
    const at::AutoGradMode grad_mode(true);
    const HeadWeights head = model_->load_head();
    const at::Tensor x = output_.to(at::kDouble).requires_grad_(true);
    const at::Tensor norm =
        x * at::rsqrt(x.pow(2).mean(-1, true) + 1e-5) * head.norm.weight.to(at::kDouble);
    const at::Tensor logits = norm.mm(head.head.to(at::kDouble).t());
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (int64_t t = 0; t + 1 < count; ++t) {
      loss = loss - at::log_softmax(logits[t], 0)[tokens_[static_cast<size_t>(t) + 1]];
    }
    loss = loss / static_cast<double>(count - 1);
    return {loss.item<double>(), torch::autograd::grad({loss}, {x})[0]};
  }

  test::ScratchFolder folder_;
  std::optional<SourceModel> model_;
  at::Tensor output_;
  std::vector<int32_t> tokens_;
};

TEST_F(NextToken, LossAndGradientAreAutogradsInFloat64AndPaddingCountsForNothing) {
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const auto device = cpu_device(pool);
  const NextTokenLoss loss(*model_, *device);
  for (const size_t count : {size_t{2}, size_t{257}, size_t{258}, size_t{400}}) {
    const std::span<const int32_t> tokens = std::span(tokens_).first(count);
    at::Tensor gradient;
    const double mine = loss(output_, tokens, &gradient);
    const auto [value, theirs] = expected(static_cast<int64_t>(count));
    EXPECT_NEAR(mine, value, 1e-5 * value) << count;
    EXPECT_LT((gradient.to(at::kDouble) - theirs).norm().item<double>(),
              1e-5 * theirs.norm().item<double>());
    const at::Tensor padding =
        gradient.narrow(0, static_cast<int64_t>(count) - 1, 401 - static_cast<int64_t>(count));
    EXPECT_EQ(padding.abs().max().item<float>(), 0);
    EXPECT_EQ(loss(output_, tokens), mine);
  }
}

}  // namespace
}  // namespace bitmill
