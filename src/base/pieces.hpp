#pragma once
// How work is cut: into pieces of one length, the last one perhaps shorter. Also the lengths that
// several layers use. A cut depends on shapes only, never on threads or ranks, so that the bits of
// a piece do not depend on who computes it. Changing a length changes the last bits of results.

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.hpp"

namespace bitmill {

// Tokens of a sample in one product. Every tile reads the whole weight again; with 256 tokens this
// costs only a few percent of the product, and a sample of 2,048 tokens still gives eight tasks.
// Logits, too, exist for this many positions at a time.
inline constexpr int64_t tokens_per_tile = 256;

// Rows of a result that is cut along its rows. Every task reads all tokens of the sample; with 128
// rows this reading is a small part of its work.
inline constexpr int64_t rows_per_tile = 128;

// Rows of the head; one row is one entry of the vocabulary. The logits of only a few positions fit
// in memory. The cut along the vocabulary keeps every thread busy even so.
inline constexpr int64_t vocab_per_tile = 1024;

// Elements of one task of a plain loop over numbers: fewer would not be worth another thread.
inline constexpr int64_t elements_per_task = int64_t{1} << 16;

// Number of pieces of `length` >= 1 that cover `total` >= 0: total / length, rounded up.
constexpr int64_t piece_count(int64_t total, int64_t length) {
  return (total + length - 1) / length;
}

// The smallest multiple of `unit` >= 1 that is at least `size` >= 0.
constexpr int64_t rounded_up(int64_t size, int64_t unit) { return piece_count(size, unit) * unit; }

// Calls piece(first, count) for every piece [first, first + count) of [0, total), in order.
template <class Piece>
void for_pieces(int64_t total, int64_t length, const Piece& piece) {
  for (int64_t first = 0; first < total; first += length) {
    piece(first, std::min(length, total - first));
  }
}

// The same, but the calls are tasks of ThreadPool::parallel_for(): on any thread, in any order.
template <class Piece>
void parallel_pieces(ThreadPool& pool, int64_t total, int64_t length, const Piece& piece) {
  pool.parallel_for(piece_count(total, length), [&](int64_t index) {
    const int64_t first = index * length;
    piece(first, std::min(length, total - first));
  });
}

}  // namespace bitmill
