#pragma once
// How work is cut: into pieces of one length, the last one perhaps shorter; and the lengths that
// several layers share. A cut depends on shapes only, never on threads or ranks, so that the bits
// of a piece do not depend on who computes it. To change a length changes the last bits of results.

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.hpp"

namespace bitmill {

// Tokens of a sample in one product. 256 keep the cost of reading a weight again for every tile
// below a few percent of the product, and still give eight tasks for a sample of 2,048. Logits,
// too, exist for so many positions at a time.
inline constexpr int64_t tokens_per_tile = 256;

// Rows of a result that is cut along its rows, where every task reads all tokens of the sample:
// enough that this is a small share of its work.
inline constexpr int64_t rows_per_tile = 128;

// Rows of the head, one an entry of the vocabulary: cut along it, a few positions, which is all
// whose logits fit in memory, keep every thread busy.
inline constexpr int64_t vocab_per_tile = 1024;

// Elements of a plain loop over numbers: enough to be worth handing to another thread.
inline constexpr int64_t elements_per_task = int64_t{1} << 16;

// Pieces of a range of `total` >= 0 when each has `length` >= 1: total / length, rounded up.
constexpr int64_t piece_count(int64_t total, int64_t length) {
  return (total + length - 1) / length;
}

// The smallest multiple of `unit` >= 1 that is at least `size` >= 0.
constexpr int64_t rounded_up(int64_t size, int64_t unit) { return piece_count(size, unit) * unit; }

// Calls piece(first, count) for [first, first + count), the pieces of [0, total), in order.
template <class Piece>
void for_pieces(int64_t total, int64_t length, const Piece& piece) {
  for (int64_t first = 0; first < total; first += length) {
    piece(first, std::min(length, total - first));
  }
}

// The same as tasks of `pool`: on any thread, in any order; as ThreadPool::parallel_for().
template <class Piece>
void parallel_pieces(ThreadPool& pool, int64_t total, int64_t length, const Piece& piece) {
  pool.parallel_for(piece_count(total, length), [&](int64_t index) {
    const int64_t first = index * length;
    piece(first, std::min(length, total - first));
  });
}

}  // namespace bitmill
