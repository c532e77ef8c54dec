#include "data/corpus_order.hpp"

#include <cassert>

#include "base/random.hpp"

namespace bitmill {
namespace {

// Luby and Rackoff: four rounds with independent functions look random; two more for small ranges.
constexpr uint64_t feistel_rounds = 6;

}  // namespace

CorpusOrder::CorpusOrder(int64_t count, uint64_t seed, int64_t deal)
    : count_(static_cast<uint64_t>(count)), seed_(seed), deal_(static_cast<uint64_t>(deal)) {
  assert(1 <= count && count < int64_t{1} << 62 && 0 <= deal && deal < int64_t{1} << 28);
  while ((uint64_t{1} << (2 * half_bits_)) < count_) ++half_bits_;
}

uint64_t CorpusOrder::permuted(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  for (uint64_t round = 0; round < feistel_rounds; ++round) {
    const uint64_t index = (deal_ << 36) | (round << 32) | right;
    const uint64_t mixed =
        left ^ (random_bits(seed_, RandomPurpose::corpus_order, index)[0] & mask);
    left = right;
    right = mixed;
  }
  return (left << half_bits_) | right;
}

int64_t CorpusOrder::at(int64_t i) const {
  assert(0 <= i && static_cast<uint64_t>(i) < count_);
  uint64_t value = permuted(static_cast<uint64_t>(i));
  while (value >= count_) value = permuted(value);
  return static_cast<int64_t>(value);
}

}  // namespace bitmill
