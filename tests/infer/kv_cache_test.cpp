#include "infer/kv_cache.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "model/attention.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

struct Heads {
  at::Tensor query, key, value;  // [T, heads, d], [T, kv_heads, d]
};

Heads random_heads(int64_t tokens, int64_t heads, int64_t kv_heads, int64_t head_dim) {
  at::manual_seed(161);
  return {at::randn({tokens, heads, head_dim}), at::randn({tokens, kv_heads, head_dim}),
          at::randn({tokens, kv_heads, head_dim})};
}

// In pieces of `length`.
at::Tensor attended(BlockCache& cache, const Heads& heads, int64_t length, ThreadPool& pool) {
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < heads.query.size(0); first += length) {
    const int64_t count = std::min(length, heads.query.size(0) - first);
    cache.store(first, heads.key.narrow(0, first, count), heads.value.narrow(0, first, count));
    parts.push_back(cache.attend(first, heads.query.narrow(0, first, count), pool));
  }
  return at::cat(parts);
}

// The definition, token by token, in double.
at::Tensor windowed_attention(const Heads& heads, int64_t window) {
  const int64_t tokens = heads.query.size(0), group = heads.query.size(1) / heads.key.size(1);
  const at::Tensor out = at::empty(heads.query.sizes(), at::kDouble);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t head = 0; head < heads.query.size(1); ++head) {
      const int64_t first = std::max<int64_t>(0, t - window + 1), count = t + 1 - first;
      const auto seen = [&](const at::Tensor& all) {
        return all.select(1, head / group).narrow(0, first, count).to(at::kDouble);
      };
      const at::Tensor query = heads.query[t][head].to(at::kDouble);
      const at::Tensor scores =
          seen(heads.key).mv(query) / std::sqrt(static_cast<double>(query.size(0)));
      out[t][head].copy_(seen(heads.value).t().mv(at::softmax(scores, 0)));
    }
  }
  return out.to(at::kFloat);
}

TEST(KvCache, AttentionOverItIsThatOfAWholeText) {
  ThreadPool pool(1);
  for (const auto& [query_heads, kv_heads, head_dim] :
       {std::array{1, 1, 64}, {4, 2, 6}, {3, 1, 17}, {6, 6, 33}}) {
    const Heads heads = random_heads(37, query_heads, kv_heads, head_dim);
    const at::Tensor expected = causal_attention(heads.query, heads.key, heads.value, pool);
    BlockCache cache(37, 0, kv_heads, head_dim);
    EXPECT_LT((attended(cache, heads, 37, pool) - expected).abs().max().item<float>(), 1e-5);
  }
}

TEST(KvCache, NeitherCutsNorThreadsChangeABit) {
  ThreadPool one(1), three(3);
  const Heads heads = random_heads(50, 4, 2, 20);
  BlockCache cache(50, 0, 2, 20);
  const at::Tensor whole = attended(cache, heads, 50, one);
  for (const int64_t length : {1, 3, 49}) {
    EXPECT_TRUE(attended(cache, heads, length, length == 3 ? three : one).equal(whole));
  }
}

TEST(KvCache, AWindowSeesItsOwnLengthThoughOlderSlotsAreUsedAgain) {
  ThreadPool pool(1);
  const int64_t tokens = 2 * tokens_per_pass + 90;
  const Heads heads = random_heads(tokens, 2, 1, 8);
  for (const int64_t window : {1, 7, 100}) {
    const at::Tensor expected = windowed_attention(heads, window);
    BlockCache cache(tokens, window, 1, 8);
    for (const int64_t length : {int64_t{1}, int64_t{33}, tokens_per_pass}) {
      const at::Tensor out = attended(cache, heads, length, pool);
      EXPECT_LT((out - expected).abs().max().item<float>(), 1e-5) << window << " " << length;
    }
  }
}

TEST(KvCache, ItsSizeIsKnownBeforeAndAWindowMakesItSmall) {
  ModelConfig config;
  config.blocks = 3;
  config.kv_heads = 2;
  config.head_dim = 4;
  EXPECT_EQ(kv_cache_bytes(config, 5000), 3 * 2 * 2 * 5000 * 4 * 4);
  EXPECT_EQ(KvCache(config, 100).bytes(), kv_cache_bytes(config, 100));
  config.window = 1000;
  config.first_windowed_block = 1;
  const int64_t slots = 5000 + 2 * (1000 - 1 + tokens_per_pass);
  EXPECT_EQ(kv_cache_bytes(config, 5000), 2 * 2 * slots * 4 * 4);
  EXPECT_EQ(KvCache(config, 5000).bytes(), kv_cache_bytes(config, 5000));
}

}  // namespace
}  // namespace bitmill
