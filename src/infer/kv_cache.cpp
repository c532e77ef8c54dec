#include "infer/kv_cache.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "infer/attention_loops.hpp"

namespace bitmill {
namespace {

// A pass stores all of its tokens before the first of them looks back over a whole window.
int64_t slots_for(int64_t positions, int64_t window) {
  return window == 0 ? positions : std::min(positions, window - 1 + tokens_per_pass);
}

// Copies row t of `from` [T, heads, head_dim] into slot (first + t) mod slots of `to`.
void copy_rows(const at::Tensor& from, int64_t first, const at::Tensor& to) {
  const at::Tensor rows = from.contiguous();
  const int64_t tokens = rows.size(0), heads = rows.size(1), head_dim = rows.size(2);
  const int64_t slots = to.size(1);
  const float* source = rows.const_data_ptr<float>();
  float* target = to.data_ptr<float>();
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t slot = (first + t) % slots;
    for (int64_t head = 0; head < heads; ++head, source += head_dim) {
      std::memcpy(target + (head * slots + slot) * head_dim, source,
                  static_cast<size_t>(head_dim) * sizeof(float));
    }
  }
}

}  // namespace

BlockCache::BlockCache(int64_t positions, int64_t window, int64_t kv_heads, int64_t head_dim)
    : window_(window),
      slots_(slots_for(positions, window)),
      head_dim_(head_dim),
      keys_(at::empty({kv_heads, slots_, head_dim}, at::kFloat)),
      values_(at::empty({kv_heads, slots_, head_dim}, at::kFloat)) {}

void BlockCache::store(int64_t first, const at::Tensor& key, const at::Tensor& value) {
  assert(key.size(0) <= tokens_per_pass || window_ == 0);
  copy_rows(key, first, keys_);
  copy_rows(value, first, values_);
}

int64_t BlockCache::first_seen(int64_t position) const {
  return window_ == 0 ? 0 : std::max<int64_t>(0, position - window_ + 1);
}

at::Tensor BlockCache::attend(int64_t first, const at::Tensor& query, ThreadPool& pool) const {
  const at::Tensor in = query.contiguous();
  at::Tensor out = at::empty(in.sizes(), in.options());
  const int64_t tokens = in.size(0), heads = in.size(1);
  const int64_t group = heads / keys_.size(0);
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim_)));
  // A task is all query heads of one key head and one token: they read the same keys.
  pool.parallel_for(tokens * keys_.size(0), [&](int64_t task) {
    const int64_t t = task / keys_.size(0), kv_head = task % keys_.size(0);
    const int64_t at_query = (t * heads + kv_head * group) * head_dim_;
    attention_loops::attend(
        {.query = in.const_data_ptr<float>() + at_query,
         .keys = keys_.const_data_ptr<float>() + kv_head * slots_ * head_dim_,
         .values = values_.const_data_ptr<float>() + kv_head * slots_ * head_dim_,
         .heads = group,
         .head_dim = head_dim_,
         .slots = slots_,
         .first = first_seen(first + t),
         .count = first + t + 1 - first_seen(first + t),
         .scale = scale},
        out.data_ptr<float>() + at_query);
  });
  return out;
}

KvCache::KvCache(const ModelConfig& config, int64_t positions) : positions_(positions) {
  blocks_.reserve(static_cast<size_t>(config.blocks));
  for (int64_t block = 0; block < config.blocks; ++block) {
    blocks_.emplace_back(positions, window_of(config, block), config.kv_heads, config.head_dim);
  }
}

int64_t KvCache::bytes() const {
  int64_t bytes = 0;
  for (const BlockCache& block : blocks_) bytes += block.bytes();
  return bytes;
}

int64_t kv_cache_bytes(const ModelConfig& config, int64_t positions) {
  int64_t bytes = 0;
  for (int64_t block = 0; block < config.blocks; ++block) {
    bytes += 2 * config.kv_heads * slots_for(positions, window_of(config, block)) *
             config.head_dim * int64_t{sizeof(float)};
  }
  return bytes;
}

}  // namespace bitmill
