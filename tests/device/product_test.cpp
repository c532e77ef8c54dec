// Products by cublasLt against float64 on the host: types, transposed and unaligned matrices, sums
// into what is there, equal bits, and what is refused.

#include "device/product.hpp"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/error.hpp"
#include "device/gpu_fixture.hpp"

namespace bitmill {
namespace {

class DeviceProduct : public test::OnGpu {
 protected:
  const at::Device gpu_{at::kCUDA, 0};
};

// Within what one rounding to the type of `got` and float32 sums allow.
void expect_product(const at::Tensor& got, const at::Tensor& a, const at::Tensor& b,
                    const at::Tensor& before = {}) {
  const auto exact = [](const at::Tensor& one) { return one.cpu().to(at::kDouble); };
  at::Tensor want = at::mm(exact(a), exact(b));
  at::Tensor magnitude = at::mm(exact(a).abs(), exact(b).abs());
  if (before.defined()) {
    want = want + exact(before);
    magnitude = magnitude + exact(before).abs();
  }
  const double relative = got.scalar_type() == at::kFloat ? 1e-5 : 1.0 / 256;
  const at::Tensor distance = (exact(got) - want).abs();
  EXPECT_TRUE((distance <= magnitude * relative).all().item<bool>())
      << distance.max().item<double>() << " of " << magnitude.max().item<double>();
}

struct Sizes {
  int64_t m, n, k;
};
constexpr Sizes odd_sizes[] = {{1, 1, 1},    {1, 16, 33},  {16, 1, 5},   {3, 5, 7},
                               {16, 32, 64}, {31, 33, 29}, {17, 48, 96}, {64, 64, 257}};

TEST_F(DeviceProduct, EqualsFloat64OnOddShapesInEveryType) {
  for (const Sizes& size : odd_sizes) {
    SCOPED_TRACE(testing::Message() << size.m << " x " << size.n << " x " << size.k);
    for (const auto& [in, out] : {std::pair{at::kFloat, at::kFloat},
                                  {at::kBFloat16, at::kBFloat16},
                                  {at::kBFloat16, at::kFloat}}) {
      const at::Tensor a = at::randn({size.m, size.k}).to(in).to(gpu_);
      const at::Tensor b = at::randn({size.k, size.n}).to(in).to(gpu_);
      const at::Tensor into = at::full({size.m, size.n}, 99.0, a.options().dtype(out));
      product_into(into, a, b);
      expect_product(into, a, b);
      if (in == out) {
        EXPECT_TRUE(at::equal(product(a, b).cpu(), into.cpu()));
      }
    }
  }
}

TEST_F(DeviceProduct, TransposedViewsAreReadAndWrittenWhereTheyLie) {
  for (const Sizes& size : odd_sizes) {
    SCOPED_TRACE(testing::Message() << size.m << " x " << size.n << " x " << size.k);
    for (int which = 0; which < 8; ++which) {
      const auto made = [&](int64_t rows, int64_t cols, bool transposed) {
        const at::Tensor t = at::randn({transposed ? cols : rows, transposed ? rows : cols}, gpu_);
        return transposed ? t.t() : t;
      };
      const at::Tensor a = made(size.m, size.k, which & 1), b = made(size.k, size.n, which & 2);
      const at::Tensor out = made(size.m, size.n, which & 4);
      product_into(out, a, b);
      expect_product(out, a, b);
    }
  }
}

// A part of wider rows, as a part of the padded operand is.
TEST_F(DeviceProduct, ElementsBesideAViewAreNotTouched) {
  const at::Tensor wide_a = at::randn({9, 64}, gpu_), wide_b = at::randn({40, 48}, gpu_);
  for (const int64_t first : {0, 16, 3}) {
    const at::Tensor wide = at::full({9, 96}, 7.0, gpu_);
    const at::Tensor a = wide_a.narrow(1, first, 37), b = wide_b.narrow(0, 1, 37);
    const at::Tensor out = wide.narrow(1, first, 48);
    product_into(out, a, b);
    expect_product(out, a, b);
    const at::Tensor host = wide.cpu();
    EXPECT_TRUE((host.narrow(1, 0, first) == 7).all().item<bool>());
    EXPECT_TRUE((host.narrow(1, first + 48, 48 - first) == 7).all().item<bool>());
  }
}

TEST_F(DeviceProduct, AccumulatingAddsToWhatIsThere) {
  for (const Sizes& size : odd_sizes) {
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor a = at::randn({size.m, size.k}).to(type).to(gpu_);
      const at::Tensor b = at::randn({size.k, size.n}).to(type).to(gpu_);
      const at::Tensor out = at::randn({size.m, size.n}, gpu_), before = out.cpu();
      product_into(out, a, b, /*accumulate=*/true);
      expect_product(out, a, b, before);
    }
  }
}

TEST_F(DeviceProduct, SumsOfNothingAreZeroAndEmptyResultsAreFine) {
  const at::Tensor out = at::ones({3, 4}, gpu_);
  product_into(out, at::empty({3, 0}, gpu_), at::empty({0, 4}, gpu_), /*accumulate=*/true);
  EXPECT_TRUE((out.cpu() == 1).all().item<bool>());
  product_into(out, at::empty({3, 0}, gpu_), at::empty({0, 4}, gpu_));
  EXPECT_TRUE((out.cpu() == 0).all().item<bool>());
  EXPECT_EQ(product(at::empty({0, 5}, gpu_), at::empty({5, 4}, gpu_)).numel(), 0);
  EXPECT_EQ(product(at::ones({2, 5}, gpu_), at::empty({5, 0}, gpu_)).numel(), 0);
}

// Addresses and neighbours differ from call to call, as they do in a job.
TEST_F(DeviceProduct, TheSameMatricesGiveTheSameBits) {
  const at::Tensor a = at::randn({48, 320}, gpu_), b = at::randn({320, 64}, gpu_);
  const at::Tensor first = product(a, b).cpu();
  for (int i = 1; i < 4; ++i) {
    const at::Tensor apart = at::empty({i * 16}, gpu_);
    const at::Tensor wide_a = at::zeros({48 + i, 320}, gpu_);
    const at::Tensor moved = wide_a.narrow(0, i, 48);
    moved.copy_(a);
    EXPECT_TRUE(at::equal(product(moved, b.clone()).cpu(), first)) << i;
  }
}

TEST_F(DeviceProduct, IsQueuedOnTheStreamOfTheCaller) {
  const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(false, 0);
  const c10::cuda::CUDAStreamGuard guard(side);
  const at::Tensor host_a = at::randn({32, 48}), host_b = at::randn({48, 16});
  const at::Tensor a = host_a.to(gpu_) * 2, b = host_b.to(gpu_) * 2;
  const at::Tensor out = product(a, b) * 0.25;
  expect_product(out, host_a, host_b);
}

TEST_F(DeviceProduct, OneAlgorithmIsChosenForAShape) {
  const auto lines = [] {
    const std::string all = chosen_algorithms();
    return std::count(all.begin(), all.end(), '\n');
  };
  const at::Tensor a = at::randn({112, 80}, gpu_), b = at::randn({80, 176}, gpu_);
  const auto before = lines();
  product(a, b);
  EXPECT_EQ(lines(), before + 1);
  product(a.clone(), b.clone());
  EXPECT_EQ(lines(), before + 1);
  product(a, at::randn({176, 80}, gpu_).t());
  EXPECT_EQ(lines(), before + 2);
  const std::string all = chosen_algorithms();
  EXPECT_NE(all.find("cuda:0, float32 [112, 176] in rows 176 apart = float32 [112, 80] in rows 80 "
                     "apart times float32 [80, 176] in columns 80 apart: algorithm "),
            std::string::npos)
      << all;
}

// Rows of 20 floats begin at multiples of 16 bytes, where the first one does.
TEST_F(DeviceProduct, AnAlgorithmDoesNotDependOnTheAddress) {
  const auto lines = [] {
    const std::string all = chosen_algorithms();
    return std::count(all.begin(), all.end(), '\n');
  };
  const auto moved = [&](const at::Tensor& matrix, int64_t by) {
    const at::Tensor there = at::empty({matrix.numel() + by}, gpu_).narrow(0, by, matrix.numel());
    return there.view(matrix.sizes()).copy_(matrix);
  };
  const at::Tensor a = at::randn({44, 20}, gpu_), b = at::randn({20, 28}, gpu_);
  const auto before = lines();
  const at::Tensor expected = product(a, b).cpu();
  for (const int64_t by : {1, 2, 4}) {
    const at::Tensor out = moved(at::zeros({44, 28}, gpu_), by);
    product_into(out, moved(a, by), moved(b, by));
    EXPECT_TRUE(at::equal(out.cpu(), expected)) << by;
  }
  EXPECT_EQ(lines(), before + 1);
}

// Small results of long sums are where cublasLt would rather split the sum.
TEST_F(DeviceProduct, NoSumIsSplit) {
  product(at::randn({16, 4096}, gpu_), at::randn({4096, 32}, gpu_));
  const at::Tensor a = at::randn({16, 4096}, gpu_).to(at::kBFloat16);
  product(a, a.t());
  const std::string all = chosen_algorithms();
  EXPECT_NE(all.find("[16, 4096]"), std::string::npos) << all;
  for (size_t at = all.find("splits "); at != std::string::npos; at = all.find("splits ", at + 1)) {
    const std::string splits = all.substr(at, 9);
    EXPECT_TRUE(splits == "splits 1," || splits == "splits 0,") << all;
  }
  EXPECT_NE(all.find("splits "), std::string::npos);
}

std::string product_refusal(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  try {
    product_into(out, a, b);
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "";
}

TEST_F(DeviceProduct, WhatDoesNotFitIsRefusedWithShapesAndTypes) {
  const at::Tensor a = at::ones({3, 5}, gpu_), b = at::ones({4, 2}, gpu_);
  const at::Tensor out = at::empty({3, 2}, gpu_), fitting = at::ones({5, 2}, gpu_);
  EXPECT_EQ(product_refusal(out, a, b),
            "a product of matrices that do not fit: Float [3, 2] on cuda:0 = Float [3, 5] on "
            "cuda:0 times Float [4, 2] on cuda:0");
  EXPECT_NE(product_refusal(out, a, fitting.to(at::kBFloat16)).find("BFloat16"), std::string::npos);
  EXPECT_NE(product_refusal(out.to(at::kBFloat16), a, fitting), "");
  EXPECT_NE(product_refusal(out.to(at::kDouble), a.to(at::kDouble), fitting.to(at::kDouble)), "");
  EXPECT_NE(product_refusal(out, a, fitting.cpu()).find("on cpu"), std::string::npos);
  EXPECT_NE(product_refusal(out.view({6}), a, fitting), "");
  EXPECT_EQ(product_refusal(out, a, fitting), "");
}

TEST_F(DeviceProduct, WantsNoGradient) {
  const at::Tensor a = at::ones({4, 4}, gpu_).requires_grad_(), b = at::ones({4, 4}, gpu_);
  EXPECT_FALSE(product(a, b).requires_grad());
}

}  // namespace
}  // namespace bitmill
