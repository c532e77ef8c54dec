// Whole models and single blocks on a GPU, against the CPU's path and against float64.

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "device/gpu_fixture.hpp"
#include "kernels/rms_norm.hpp"
#include "method/block_configs.hpp"
#include "model/attention.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"
#include "model/golden_files.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using test::relative_gap;

const std::string device_golden_folder = BITMILL_SOURCE_DIR "/tests/golden/models/";

// As test::compute_logits(), on a device.
at::Tensor logits_on(const Device& device, const SourceModel& model,
                     const std::vector<int32_t>& ids) {
  const ModelConfig& config = model.config();
  const Rotary rotary = on_device(make_rotary(config, std::ssize(ids)), device);
  at::Tensor x = device.bring(model.embed(ids));
  for (int64_t block = 0; block < config.blocks; ++block) {
    const BlockWeights weights = on_device(model.load_block(block), device);
    x = dense_block_forward(config, weights, rotary, x, device.host());
  }
  return head_logits(config, on_device(model.load_head(), device), x, device.host());
}

class ModelOnGpu : public test::OnGpu {
 protected:
  void expect_golden_logits(const std::string& name, const std::string& folder) {
    const auto files = posix_files();
    const test::Golden golden =
        test::read_golden(*files, device_golden_folder + name + ".golden.safetensors");
    const SourceModel model(*files, folder);
    const at::Tensor host = test::compute_logits(model, golden.ids, pool_);
    const at::Tensor exact = logits_on(*device_of(at::kFloat), model, golden.ids);
    EXPECT_TRUE(exact.is_cuda());
    EXPECT_LT(relative_gap(exact, host), 1e-4);
    for (size_t i = 0; i < golden.rows.size(); ++i) {
      EXPECT_LT(relative_gap(exact[golden.rows[i]], golden.logits[static_cast<int64_t>(i)]), 1e-4)
          << "position " << golden.rows[i];
    }
    // Of 8 bits; a residual stream of a few blocks is rounded twice in each.
    const at::Tensor rounded = logits_on(*device_of(at::kBFloat16), model, golden.ids);
    EXPECT_EQ(rounded.scalar_type(), at::kFloat);
    EXPECT_LT(relative_gap(rounded, host), 0.05);
    EXPECT_GT(relative_gap(rounded, host), 0);
  }
};

class FamilyOnGpu : public ModelOnGpu, public testing::WithParamInterface<const char*> {};

TEST_P(FamilyOnGpu, GivesTheLogitsOfTheCpu) {
  expect_golden_logits(GetParam(), device_golden_folder + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Models, FamilyOnGpu, testing::ValuesIn(test::golden_families),
                         [](const auto& tested) { return test::test_name(tested.param); });

TEST_F(ModelOnGpu, GivesTheLogitsOfTheCpuForStories260K) {
  const std::string folder = BITMILL_SOURCE_DIR "/../shared/models/stories260K";
  if (!posix_files()->is_directory(folder)) GTEST_SKIP() << folder << " is not here";
  expect_golden_logits("stories260K", folder);
}

// Attention in float64, written apart from the product's.
at::Tensor plain_attention(const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value) {
  const int64_t seq_len = query.size(0), group = query.size(1) / key.size(1);
  const at::Tensor q = query.transpose(0, 1);  // [heads, T, d]
  const at::Tensor k = key.repeat_interleave(group, 1).transpose(0, 1);
  const at::Tensor v = value.repeat_interleave(group, 1).transpose(0, 1);
  const at::Tensor later = at::ones({seq_len, seq_len}, at::kBool).triu(1);
  const at::Tensor scores =
      (at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(query.size(2))))
          .masked_fill(later, -INFINITY);
  return at::matmul(at::softmax(scores, -1), v).transpose(0, 1);
}

// A block with random weights, a sample, and a gradient of its output.
struct RandomBlock {
  RandomBlock(const ModelConfig& of, int64_t tokens)
      : config(of), rotary(make_rotary(of, tokens)), x(at::randn({tokens, of.hidden_size})) {
    weights.vectors = test::random_vectors(config);
    for (const LinearShape& shape : block_linears(config, 0)) {
      weights.linears.push_back(at::randn({shape.rows, shape.cols}) * 0.3);
    }
    out_gradient = at::randn(x.sizes());
  }

  struct Passes {
    at::Tensor out, x_gradient;
  };
  // `linear` and `attention` for tensors of the place and type of `input`.
  template <class Linear, class Attention>
  Passes run(const BlockVectors& vectors, const Rotary& tables, const at::Tensor& input,
             const Linear& linear, const Attention& attention) const {
    const at::AutoGradMode grad_mode(true);
    const at::Tensor leaf = input.detach().requires_grad_(true);
    const at::Tensor out = block_forward(config, vectors, tables, leaf, linear, attention);
    return {out.detach(),
            torch::autograd::grad({out}, {leaf}, {out_gradient.to(input.options())})[0]};
  }

  Passes on(const Device& device) const {
    const BlockWeights there = on_device(weights, device);
    ThreadPool& pool = device.host();
    return run(
        there.vectors, on_device(rotary, device), device.bring(x),
        [&](size_t i, const at::Tensor& in) { return dense_linear(in, there.linears[i], pool); },
        [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
          return causal_attention(q, k, v, pool);
        });
  }

  Passes in_float64() const {
    const auto wide = [](const at::Tensor& t) { return t.defined() ? t.to(at::kDouble) : t; };
    const auto norm = [&](const Norm& n) { return Norm{wide(n.weight), wide(n.bias)}; };
    BlockVectors vectors = {norm(weights.vectors.input_norm),
                            norm(weights.vectors.middle_norm),
                            norm(weights.vectors.query_norm),
                            norm(weights.vectors.key_norm),
                            {}};
    for (const at::Tensor& bias : weights.vectors.biases) vectors.biases.push_back(wide(bias));
    return run(
        vectors, {wide(rotary.cosine), wide(rotary.sine)}, wide(x),
        [&](size_t i, const at::Tensor& in) { return at::mm(in, wide(weights.linears[i]).t()); },
        plain_attention);
  }

  const ModelConfig config;
  const Rotary rotary;
  const at::Tensor x;  // [T, hidden]
  BlockWeights weights;
  at::Tensor out_gradient;
};

struct BlockCase {
  const char* name;
  ModelConfig (*config)();
  int64_t tokens;
};

ModelConfig gelu_without_gate() { return test::opt(); }
ModelConfig relu_without_gate() {
  ModelConfig config = test::opt();
  config.activation = Activation::relu;
  return config;
}
ModelConfig tanh_gate() {
  ModelConfig config = test::llama();
  config.activation = Activation::gelu_tanh;
  config.attention_bias = config.mlp_bias = true;
  return config;
}

class BlockOnGpu : public test::OnGpu, public testing::WithParamInterface<BlockCase> {};

TEST_P(BlockOnGpu, HasTheOutputAndTheGradientOfFloat64) {
  const RandomBlock block(GetParam().config(), GetParam().tokens);
  const RandomBlock::Passes exact = block.in_float64();
  const RandomBlock::Passes single = block.on(*device_of(at::kFloat));
  EXPECT_LT(relative_gap(single.out, exact.out), 1e-5);
  EXPECT_LT(relative_gap(single.x_gradient, exact.x_gradient), 1e-5);
  const RandomBlock::Passes rounded = block.on(*device_of(at::kBFloat16));
  EXPECT_EQ(rounded.out.scalar_type(), at::kBFloat16);
  EXPECT_EQ(rounded.x_gradient.scalar_type(), at::kBFloat16);
  EXPECT_LT(relative_gap(rounded.out, exact.out), 0.05);
  EXPECT_LT(relative_gap(rounded.x_gradient, exact.x_gradient), 0.05);
}

INSTANTIATE_TEST_SUITE_P(Forms, BlockOnGpu,
                         testing::Values(BlockCase{"llama", test::llama, 16},
                                         BlockCase{"llamaOfOneToken", test::llama, 1},
                                         BlockCase{"llamaOdd", test::llama, 17},
                                         BlockCase{"qwen3", test::qwen3, 11},
                                         BlockCase{"biasesAndTanh", tanh_gate, 16},
                                         BlockCase{"optGelu", gelu_without_gate, 16},
                                         BlockCase{"optRelu", relu_without_gate, 9}),
                         [](const auto& tested) { return tested.param.name; });

class BlockPartsOnGpu : public test::OnGpu {};

TEST_F(BlockPartsOnGpu, GiveTheSameBitsTwice) {
  const RandomBlock block(test::llama(), 16);
  for (const at::ScalarType element : {at::kFloat, at::kBFloat16}) {
    const auto device = device_of(element);
    const RandomBlock::Passes first = block.on(*device), second = block.on(*device);
    EXPECT_TRUE(at::equal(first.out.cpu(), second.out.cpu()));
    EXPECT_TRUE(at::equal(first.x_gradient.cpu(), second.x_gradient.cpu()));
  }
}

// Rows that the kernel keeps whole on the way back, forward alone, and not at all.
TEST_F(BlockPartsOnGpu, NormalizeRowsOfAnyWidth) {
  const auto device = device_of(at::kFloat);
  for (const int64_t width :
       {kernels::kept_rms_norm / 2, kernels::kept_rms_norm, kernels::kept_rms_norm + 1}) {
    const Norm norm = {at::rand({width}) + 0.5, {}};
    const at::Tensor x = at::randn({2, width}).requires_grad_(true);
    const at::Tensor there = device->bring(x.detach()).requires_grad_(true);
    const at::Tensor expected = normalize(NormKind::rms, norm, x, 1e-5);
    const Norm norm_there = {device->bring(norm.weight), {}};
    const at::Tensor actual = normalize(NormKind::rms, norm_there, there, 1e-5);
    EXPECT_LT(relative_gap(actual, expected), 1e-5) << width;
    const at::Tensor gradient = at::randn(x.sizes());
    expected.backward(gradient);
    actual.backward(device->bring(gradient));
    EXPECT_LT(relative_gap(there.grad(), x.grad()), 1e-5) << width;
  }
}

// 1 + 2^-9 lies between two numbers of bfloat16, so a sum in bfloat16 would lose every 2^-9.
TEST_F(BlockPartsOnGpu, NormsAddUpInFloat32) {
  const auto device = device_of(at::kBFloat16);
  const at::Tensor x = at::full({1, 512}, 1.0);
  x[0][0] = 3;
  for (const NormKind kind : {NormKind::rms, NormKind::layer}) {
    const Norm plain = {at::ones({512}), kind == NormKind::layer ? at::zeros({512}) : at::Tensor()};
    const Norm there = {device->bring(plain.weight, at::kFloat),
                        plain.bias.defined() ? device->bring(plain.bias, at::kFloat) : plain.bias};
    const at::Tensor expected = normalize(kind, plain, x, 1e-5).to(at::kBFloat16);
    const at::Tensor actual = normalize(kind, there, device->bring(x), 1e-5);
    EXPECT_TRUE(at::equal(actual.cpu(), expected));
  }
}

TEST_F(BlockPartsOnGpu, ActivateAsTheCpuDoes) {
  const auto device = device_of(at::kFloat);
  for (const Activation activation :
       {Activation::silu, Activation::relu, Activation::gelu, Activation::gelu_tanh}) {
    const at::Tensor x = at::randn({3, 35}).requires_grad_(true);
    const at::Tensor there = device->bring(x.detach()).requires_grad_(true);
    const at::Tensor expected = activate(activation, x), actual = activate(activation, there);
    EXPECT_LT(relative_gap(actual, expected), 1e-6);
    const at::Tensor gradient = at::randn(x.sizes());
    expected.backward(gradient);
    actual.backward(device->bring(gradient));
    EXPECT_LT(relative_gap(there.grad(), x.grad()), 2e-6);
  }
}

TEST_F(BlockPartsOnGpu, AreBroughtInTheirTypes) {
  const RandomBlock block(test::opt(), 3);
  const auto device = device_of(at::kBFloat16);
  const BlockWeights there = on_device(block.weights, *device);
  EXPECT_EQ(there.vectors.input_norm.weight.scalar_type(), at::kFloat);
  EXPECT_EQ(there.vectors.biases[0].scalar_type(), at::kFloat);
  for (const at::Tensor& linear : there.linears) {
    EXPECT_TRUE(linear.is_cuda());
    EXPECT_EQ(linear.scalar_type(), at::kBFloat16);
  }
  EXPECT_FALSE(on_device(block.rotary, *device).cosine.defined());  // the family has none
  const BlockWeights again = on_device(there, *device);
  EXPECT_EQ(again.linears[0].const_data_ptr(), there.linears[0].const_data_ptr());
}

}  // namespace
}  // namespace bitmill
