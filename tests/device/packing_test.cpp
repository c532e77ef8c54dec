// From weights to packed words and back on a GPU, with the bits of the host.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "backend/random_linear.hpp"
#include "device/gpu_fixture.hpp"
#include "method/grid.hpp"
#include "method/pack.hpp"
#include "model/device_weights.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

struct PackingCase {
  std::string name;
  MethodSettings settings;
};

std::vector<PackingCase> packing_cases() {
  std::vector<PackingCase> cases(5);
  cases[0].name = "published";
  cases[1].name = "salient range, center";
  cases[1].settings.int4_range = Int4Range::salient;
  cases[1].settings.center = true;
  cases[2].name = "clipped range";
  cases[2].settings.int4_clip = true;
  cases[3].name = "learned signs";
  cases[3].settings.learned = {true, true, true};
  cases[4].name = "all of it";
  cases[4].settings = cases[3].settings;
  cases[4].settings.int4_range = Int4Range::salient;
  cases[4].settings.int4_clip = true;
  cases[4].settings.center = true;
  return cases;
}

// With weights of 0, a row of zeros and a row whose weights are all equal.
at::Tensor packing_weight(int64_t rows, int64_t cols) {
  at::Tensor weight = at::sin(at::arange(rows * cols).to(at::kFloat) * 1.7F).view({rows, cols});
  weight.masked_fill_(weight.abs() < 0.05, 0);
  if (rows > 2) {
    weight[1].zero_();
    weight[2].fill_(0.3);
  }
  return weight;
}

bool same_bits(const at::Tensor& there, const at::Tensor& here) {
  const at::Tensor a = there.cpu().contiguous(), b = here.contiguous();
  return a.sizes() == b.sizes() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), b.nbytes()) == 0;
}

// What a block packs that was not trained.
PackedLinear packed_untrained(const InitialLinear& linear) {
  const at::TensorOptions like = linear.row_scale.options();
  LearnedLinear learned{{part::row_scale, linear.row_scale},
                        {part::row_gain, at::ones({linear.frozen.rows}, like)},
                        {part::col_gain, at::ones({linear.frozen.low_columns.size(0)}, like)}};
  if (linear.latents.defined()) learned.set(part::latents, linear.latents);
  return pack_linear("w", linear.frozen, learned);
}

void expect_same(const PackedLinear& there, const PackedLinear& here) {
  EXPECT_EQ(there.signs, here.signs);
  EXPECT_EQ(there.codes, here.codes);
  EXPECT_EQ(there.mask, here.mask);
  EXPECT_EQ(there.code_zero, here.code_zero);
  EXPECT_EQ(there.row_scale, here.row_scale);
  EXPECT_EQ(there.row_mean, here.row_mean);
  EXPECT_EQ(there.col_gain, here.col_gain);
  EXPECT_EQ(there.code_scale, here.code_scale);
}

class PackingOnDevice : public test::OnGpu {};

TEST_F(PackingOnDevice, FirstValuesCodesAndSignsHaveTheBitsOfTheHost) {
  const auto device = cuda_device({0, at::kBFloat16}, pool_);
  for (const PackingCase& one : packing_cases()) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {5, 33}, {67, 131}}) {
      SCOPED_TRACE(one.name + ", " + std::to_string(rows) + " x " + std::to_string(cols));
      const at::Tensor weight = packing_weight(rows, cols);
      const at::Tensor saliency = at::cos(at::arange(cols).to(at::kFloat)).abs();
      const at::Tensor squares = saliency.square() + 0.1;
      const auto quantized = [&](const at::Tensor& from) {
        return quantize_linear(from, floats_of(saliency), one.settings, pool_, floats_of(squares));
      };
      const InitialLinear here = quantized(weight);
      const InitialLinear there = quantized(device->bring(weight, at::kFloat));
      EXPECT_TRUE(there.frozen.codes.is_cuda());
      EXPECT_TRUE(same_bits(there.row_scale, here.row_scale));
      EXPECT_TRUE(same_bits(there.frozen.row_mean, here.frozen.row_mean));
      EXPECT_TRUE(same_bits(there.frozen.code_scale, here.frozen.code_scale));
      EXPECT_TRUE(same_bits(there.frozen.code_zero, here.frozen.code_zero));
      ASSERT_EQ(there.latents.defined(), here.latents.defined());
      if (here.latents.defined()) {
        EXPECT_TRUE(same_bits(there.latents, here.latents));
      }
      expect_same(packed_untrained(there), packed_untrained(here));
    }
  }
}

TEST_F(PackingOnDevice, ADenseWeightHasTheBitsOfTheHostRoundedOnce) {
  for (const test::Case& shape :
       {test::Case{1, 1, 1, 0}, {1, 5, 33, 9}, {1, 70, 0, 4}, {1, 3, 31, 0}}) {
    const PackedLinear packed =
        pack_linear("w", test::random_frozen(shape, 3), test::random_learned(shape));
    const at::Tensor host = at::tensor(dequantize(packed)).view({packed.rows, packed.cols});
    for (const at::ScalarType element : {at::kFloat, at::kBFloat16}) {
      const auto device = cuda_device({0, element}, pool_);
      EXPECT_TRUE(same_bits(dense_on(*device, packed), host.to(element)));
    }
  }
}

TEST_F(PackingOnDevice, WhatIsUnpackedThereIsPackedAgainToTheSameWords) {
  const auto device = cuda_device({0, at::kFloat}, pool_);
  const test::Case shape{1, 9, 37, 11};
  const PackedLinear packed =
      pack_linear("w", test::random_frozen(shape, 4), test::random_learned(shape));
  const InitialLinear there = unpack_linear(packed, *device);
  EXPECT_TRUE(there.frozen.signs.is_cuda() && there.row_scale.is_cuda());
  PackedLinear again = packed_untrained(there);
  again.col_gain = packed.col_gain;  // not in an InitialLinear
  expect_same(again, packed);
}

// One backend, the same linear as values on the host and as words on the device.
TEST_F(PackingOnDevice, TheBackendTakesWordsOrValues) {
  const test::Case shape{1, 9, 37, 11};
  const PackedLinear packed =
      pack_linear("w", test::random_frozen(shape, 5), test::random_learned(shape));
  for (const at::ScalarType element : {at::kFloat, at::kBFloat16}) {
    const auto device = cuda_device({0, element}, pool_);
    const auto output = [&](const InitialLinear& linear) {
      const LearnedLinear learned{
          {part::row_scale, device->bring(linear.row_scale, at::kFloat)},
          {part::row_gain, device->bring(at::ones({packed.rows}), at::kFloat)},
          {part::col_gain, device->bring(widened(packed.col_gain), at::kFloat)}};
      const auto student =
          cuda_backend(device->torch(), element)->prepare(linear.frozen, {}, pool_);
      student->begin_step(learned);
      return device->fetch(student->forward(device->bring(at::eye(packed.cols)), learned));
    };
    const at::Tensor of_words = output(unpack_linear(packed, *device));
    EXPECT_GT(of_words.abs().max().item<float>(), 0);
    EXPECT_TRUE(same_bits(of_words, output(unpack_linear(packed, *cpu_device(pool_)))));
  }
}

}  // namespace
}  // namespace bitmill
