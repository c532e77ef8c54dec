// A packed linear on its way back to one that is trained, a packed block whose scales are tuned,
// and the divergence at the end of the model.

#include "method/tuned_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "backend/random_linear.hpp"
#include "method/next_token_divergence.hpp"
#include "method/pack.hpp"
#include "model/block_forward.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

at::Tensor dense(const PackedLinear& packed) {
  return at::tensor(dequantize(packed)).view({packed.rows, packed.cols});
}

PackedLinear random_packed(const test::Case& shape, uint64_t seed) {
  const FrozenLinear frozen = test::random_frozen(shape, seed);
  return pack_linear("w", frozen, test::random_learned(shape));
}

TEST(Unpack, GivesBackWhatThePackedLinearStandsFor) {
  ThreadPool pool(2);
  for (const test::Case& shape : {test::Case{1, 5, 33, 9}, {1, 7, 0, 4}, {1, 3, 31, 0}}) {
    const PackedLinear packed = random_packed(shape, 3);
    const InitialLinear linear = unpack_linear(packed, *cpu_device(pool));
    const LearnedLinear learned{{part::row_scale, linear.row_scale},
                                {part::row_gain, at::ones({shape.rows})},
                                {part::col_gain, widened(packed.col_gain)}};
    const at::Tensor x = at::eye(packed.cols);
    const auto student = reference_backend()->prepare(linear.frozen, {}, pool);
    const at::Tensor weight = student->forward(x, learned).t();
    EXPECT_LE((weight - dense(packed)).abs().max().item<float>(), 1e-6F);
  }
}

TEST(Unpack, WithoutAChangeTheScalesAreRoundedToWhatWasStored) {
  const test::Case shape{1, 6, 17, 3};
  const PackedLinear packed = random_packed(shape, 5);
  const StoredScales same = round_scales("w", packed,
                                         {{part::row_scale, widened(packed.row_scale)},
                                          {part::row_gain, at::ones({shape.rows})},
                                          {part::col_gain, widened(packed.col_gain)}});
  EXPECT_EQ(same.row_scale, packed.row_scale);
  EXPECT_EQ(same.row_mean, packed.row_mean);
  EXPECT_EQ(same.col_gain, packed.col_gain);
}

// By hand: a common factor of 2, one of 3 on alpha alone, one of 4 per column.
TEST(Unpack, FactorsReachTheScalesTheyAreOf) {
  const test::Case shape{1, 2, 5, 2};
  const PackedLinear packed = random_packed(shape, 7);
  const StoredScales scales = round_scales("w", packed,
                                           {{part::row_scale, widened(packed.row_scale) * 3},
                                            {part::row_gain, at::full({shape.rows}, 2.0)},
                                            {part::col_gain, widened(packed.col_gain) * 4}});
  EXPECT_TRUE(at::allclose(widened(scales.row_scale), widened(packed.row_scale) * 6, 1e-3));
  EXPECT_TRUE(at::allclose(widened(scales.row_mean), widened(packed.row_mean) * 2, 1e-3));
  EXPECT_TRUE(at::allclose(widened(scales.col_gain), widened(packed.col_gain) * 4, 1e-3));
}

// Two models of one shape and other weights, more tokens than a tile has.
class Divergence : public testing::Test {
 protected:
  Divergence() {
    auto config = test::tiny_config();
    config["max_position_embeddings"] = 512;
    config["vocab_size"] = 1500;  // more than a tile of the vocabulary
    for (const char* name : {"/student", "/teacher"}) {
      auto tensors = test::tiny_tensors(config);
      uint64_t seed = name[1];
      for (TensorSource& tensor : tensors) {
        tensor = test::random_tensor(tensor.name, tensor.shape, ++seed);
      }
      test::write_model(*files_, folder_.path() + name, config, tensors);
    }
    at::manual_seed(2);
    student_x_ = at::randn({300, 12});
    teacher_x_ = at::randn({300, 12});
  }

  test::ScratchFolder folder_;
  std::unique_ptr<Files> files_ = posix_files();
  at::Tensor student_x_, teacher_x_;
};

TEST_F(Divergence, ValueAndGradientAreThoseOfAutograd) {
  const SourceModel student(*files_, folder_.path() + "/student");
  const SourceModel teacher(*files_, folder_.path() + "/teacher");
  ThreadPool pool(3);
  const NextTokenDivergence divergence(student, teacher, pool);
  at::Tensor gradient;
  const double value = divergence(student_x_, teacher_x_, &gradient);
  EXPECT_DOUBLE_EQ(divergence(student_x_, teacher_x_), value);

  const auto log_probabilities = [&](const SourceModel& model, const at::Tensor& x) {
    const HeadWeights head = model.load_head();
    const at::Tensor scale = at::rsqrt(at::mean(x * x, -1, true) + 1e-5);
    return at::log_softmax(at::mm(x * scale * head.norm.weight, head.head.t()), -1);
  };
  const at::AutoGradMode grad_mode(true);
  const at::Tensor x = student_x_.clone().requires_grad_(true);
  const at::Tensor log_q = log_probabilities(student, x);
  const at::Tensor log_p = log_probabilities(teacher, teacher_x_);
  const at::Tensor expected = (log_p.exp() * (log_p - log_q)).sum(-1).mean();
  const at::Tensor slope = torch::autograd::grad({expected}, {x})[0];
  EXPECT_NEAR(value, expected.item<double>(), 1e-5 * value);
  EXPECT_LE((gradient - slope).norm().item<float>(), 1e-5F * slope.norm().item<float>());
}

TEST_F(Divergence, OfAModelFromItselfIsNothing) {
  const SourceModel model(*files_, folder_.path() + "/student");
  ThreadPool pool(1);
  const NextTokenDivergence divergence(model, model, pool);
  at::Tensor gradient;
  EXPECT_EQ(divergence(student_x_, student_x_, &gradient), 0);
  EXPECT_EQ(gradient.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace bitmill
