#pragma once
// Keys and values of the tokens that a model has seen, so that the next token costs one step. It is
// made once, for a fixed number of positions, and never grows.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/thread_pool.hpp"
#include "model/config.hpp"

namespace bitmill {

// Tokens that go through a block together. Longer prompts are cut into pieces of this length.
inline constexpr int64_t tokens_per_pass = 256;

// The part of one block. A block that sees all positions has a slot for each of them. A block with
// a sliding window has only as many slots as a pass can see, used in a ring: position p lies in
// slot p mod slots.
class BlockCache {
 public:
  // `window`: positions that a token sees, itself included; 0: all.
  BlockCache(int64_t positions, int64_t window, int64_t kv_heads, int64_t head_dim);

  // Stores key and value [T, kv_heads, head_dim] float32 at positions first, first + 1, ...
  // REQUIRES: T <= tokens_per_pass; positions inside of the cache.
  void store(int64_t first, const at::Tensor& key, const at::Tensor& value);

  // query [T, heads, head_dim] float32 at the positions that were stored last, from `first` on.
  // Returns [T, heads, head_dim]. Scores are scaled by 1 / sqrt(head_dim). Every token is computed
  // alone, in one order of sums: the result depends neither on T nor on threads.
  at::Tensor attend(int64_t first, const at::Tensor& query, ThreadPool& pool) const;

  int64_t bytes() const { return 2 * keys_.numel() * int64_t{sizeof(float)}; }

 private:
  int64_t first_seen(int64_t position) const;

  int64_t window_;
  int64_t slots_;
  int64_t head_dim_;
  at::Tensor keys_;    // [kv_heads, slots, head_dim]
  at::Tensor values_;  // the same
};

class KvCache {
 public:
  // `positions` at most the context. std::bad_alloc, or c10's, when there is no room.
  KvCache(const ModelConfig& config, int64_t positions);

  int64_t positions() const { return positions_; }
  int64_t bytes() const;
  BlockCache& block(int64_t index) { return blocks_[index]; }

 private:
  int64_t positions_;
  std::vector<BlockCache> blocks_;
};

// What a cache of this size takes, without making it.
int64_t kv_cache_bytes(const ModelConfig& config, int64_t positions);

}  // namespace bitmill
