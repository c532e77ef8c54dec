// Attention on a GPU against the same in float64 on the CPU: shapes, tiles, gradients, memory.

#include "model/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "device/gpu_fixture.hpp"
#include "device/product.hpp"
#include "model/device_attention.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using test::relative_gap;

struct HeadsCase {
  int64_t seq_len, heads, kv_heads, head_dim;
};

// Query, key, value and the gradient of the output.
std::vector<at::Tensor> random_heads(const HeadsCase& shape) {
  const auto heads = [&](int64_t count) {
    return at::randn({shape.seq_len, count, shape.head_dim});
  };
  return {heads(shape.heads), heads(shape.kv_heads), heads(shape.kv_heads), heads(shape.heads)};
}

// Position by position, in float64.
at::Tensor attention_by_positions(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value) {
  const int64_t group = query.size(1) / key.size(1);
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(2)));
  std::vector<at::Tensor> rows;
  for (int64_t t = 0; t < query.size(0); ++t) {
    const at::Tensor keys = key.narrow(0, 0, t + 1).repeat_interleave(group, 1);
    const at::Tensor values = value.narrow(0, 0, t + 1).repeat_interleave(group, 1);
    const at::Tensor scores = (keys * query[t]).sum(-1) * scale;  // [t + 1, heads]
    rows.push_back((at::softmax(scores, 0).unsqueeze(-1) * values).sum(0));
  }
  return at::stack(rows);
}

// Output, then the gradients of query, key and value.
template <class Attention>
std::vector<at::Tensor> both_passes(const std::vector<at::Tensor>& given,
                                    const Attention& attention) {
  const at::AutoGradMode grad_mode(true);
  std::vector<at::Tensor> leaves;
  for (size_t i = 0; i < 3; ++i) leaves.push_back(given[i].detach().requires_grad_(true));
  const at::Tensor out = attention(leaves[0], leaves[1], leaves[2]);
  std::vector<at::Tensor> all = torch::autograd::grad({out}, leaves, {given[3]});
  all.insert(all.begin(), out.detach());
  return all;
}

class AttentionOnGpu : public test::OnGpu {
 protected:
  std::vector<at::Tensor> on_gpu(const std::vector<at::Tensor>& given, at::ScalarType element) {
    const auto device = device_of(element);
    std::vector<at::Tensor> there;
    for (const at::Tensor& tensor : given) there.push_back(device->bring(tensor));
    return both_passes(there, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      return causal_attention(q, k, v, pool_);
    });
  }
};

class AttentionShapesOnGpu : public AttentionOnGpu,
                             public testing::WithParamInterface<HeadsCase> {};

TEST_P(AttentionShapesOnGpu, HasTheOutputAndTheGradientsOfFloat64) {
  const HeadsCase& shape = GetParam();
  const std::vector<at::Tensor> given = random_heads(shape);
  for (const auto& [element, bound] :
       {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 0.02}}) {
    std::vector<at::Tensor> rounded;  // so that what is measured is the arithmetic
    for (const at::Tensor& tensor : given) rounded.push_back(tensor.to(element).to(at::kDouble));
    const std::vector<at::Tensor> expected = both_passes(rounded, attention_by_positions);
    const std::vector<at::Tensor> actual = on_gpu(given, element);
    for (size_t i = 0; i < expected.size(); ++i) {
      // One key is always chosen whole: where the exact gradient is 0, so is ours, up to rounding.
      const bool nothing = expected[i].abs().max().item<double>() < 1e-12;
      const double gap =
          nothing ? actual[i].abs().max().item<double>() : relative_gap(actual[i], expected[i]);
      EXPECT_LT(gap, bound) << i << " in " << element;
      EXPECT_EQ(actual[i].scalar_type(), element);
    }
  }
}

// Groups of one, some and all heads; single tokens; odd numbers; several tiles, of 64 positions and
// of 13.
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionShapesOnGpu,
                         testing::Values(HeadsCase{1, 1, 1, 8}, HeadsCase{1, 4, 2, 6},
                                         HeadsCase{2, 4, 4, 8}, HeadsCase{17, 6, 2, 10},
                                         HeadsCase{33, 3, 1, 7}, HeadsCase{31, 4, 4, 16},
                                         HeadsCase{69, 64, 1, 8}, HeadsCase{15, 300, 1, 4}));

TEST_F(AttentionOnGpu, GivesTheSameBitsTwice) {
  const std::vector<at::Tensor> given = random_heads({70, 64, 1, 8});  // two tiles
  const std::vector<at::Tensor> first = on_gpu(given, at::kBFloat16);
  const std::vector<at::Tensor> second = on_gpu(given, at::kBFloat16);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(at::equal(first[i].cpu(), second[i].cpu())) << i;
  }
}

// A token's output does not depend on what follows it.
TEST_F(AttentionOnGpu, DoesNotSeeWhatComesLater) {
  std::vector<at::Tensor> given = random_heads({70, 64, 1, 8});
  const at::Tensor before = on_gpu(given, at::kFloat)[0].cpu();
  given[1][40].fill_(30);
  given[2][40].fill_(-7);
  const at::Tensor after = on_gpu(given, at::kFloat)[0].cpu();
  EXPECT_TRUE(at::equal(after.narrow(0, 0, 40), before.narrow(0, 0, 40)));
  EXPECT_FALSE(at::equal(after[40], before[40]));
  EXPECT_FALSE(at::equal(after[69], before[69]));
}

TEST(AttentionTiles, HoldAsManyPositionsAsTheRowsAllow) {
  EXPECT_EQ(attention_tile_positions(2048, 1), 2048);
  EXPECT_EQ(attention_tile_positions(8192, 1), 4096);
  EXPECT_EQ(attention_tile_positions(2048, 8), 512);
  EXPECT_EQ(attention_tile_positions(2048, 7), 576);  // 585, as a multiple of 16
  EXPECT_EQ(attention_tile_positions(2048, 300), 13);
  EXPECT_EQ(attention_tile_positions(2048, 5000), 1);
  // 70B: two matrices of 4096 x 2048 float32, and little beside.
  AttentionShape shape = {2048, 64, 8, 128, 2};
  EXPECT_EQ(attention_scratch_bytes(shape), 67'108'864 + 3'145'728 + 2'097'152);
  shape.seq_len = 2047;  // rows of scores have room for 2,048; 512 positions as before
  EXPECT_EQ(attention_scratch_bytes(shape), 67'108'864 + 3'145'728 + 2'096'128);
}

using AllocatorStats = c10::CachingDeviceAllocator::DeviceStats;

int64_t allocated_bytes(bool peak) {
  const AllocatorStats stats = c10::cuda::CUDACachingAllocator::getDeviceStats(0);
  const auto& all = stats.allocated_bytes[0];
  return peak ? all.peak : all.current;
}

// The most bytes that lived at a time while `work` ran, beyond those before.
template <class Work>
int64_t most_bytes_of(const Work& work) {
  const int64_t before = allocated_bytes(false);
  c10::cuda::CUDACachingAllocator::resetPeakStats(0);
  work();
  return allocated_bytes(true) - before;
}

TEST_F(AttentionOnGpu, HoldsWhatTheFormulaSays) {
  const HeadsCase shape = {512, 8, 1, 8};
  for (const at::ScalarType element : {at::kFloat, at::kBFloat16}) {
    const auto device = device_of(element);
    std::vector<at::Tensor> given;
    for (const at::Tensor& tensor : random_heads(shape)) given.push_back(device->bring(tensor));
    const at::Tensor scores = at::empty({4096, 512}, given[0].options().dtype(at::kFloat));
    const int64_t of_product = most_bytes_of([&] {
      product_into(scores, given[0].view({4096, 8}), given[1].select(1, 0).t());
    });
    int64_t results = 0;
    const int64_t held = most_bytes_of([&] {
      const auto all =
          both_passes(given, [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
            return causal_attention(q, k, v, pool_);
          });
      for (const at::Tensor& tensor : all) results += static_cast<int64_t>(tensor.nbytes());
    });
    if (held == 0) GTEST_SKIP() << "the allocator does not count without its cache";
    const int64_t formula =
        attention_scratch_bytes({shape.seq_len, shape.heads, shape.kv_heads, shape.head_dim,
                                 static_cast<int64_t>(at::elementSize(element))});
    EXPECT_LE(held, formula + results + of_product + 32 * 512) << element;
    EXPECT_GE(held, formula * 9 / 10) << element;
  }
}

}  // namespace
}  // namespace bitmill
