#pragma once
// An order of many numbers that is computed, not stored.

#include <cstdint>

namespace bitmill {

// A permutation of [0, count) that follows from (seed, deal). It takes no memory: a Feistel network
// over the next power of four, walked until it comes back into the range.
class CorpusOrder {
 public:
  // REQUIRES: 1 <= count < 2^62, 0 <= deal < 2^28.
  CorpusOrder(int64_t count, uint64_t seed, int64_t deal);
  // REQUIRES: 0 <= i < count.
  int64_t at(int64_t i) const;

 private:
  uint64_t permuted(uint64_t value) const;

  uint64_t count_, seed_, deal_;
  int half_bits_ = 1;
};

}  // namespace bitmill
