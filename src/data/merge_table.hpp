#pragma once
// Which pairs of tokens merge into which token. Encoding looks up this table more often than any
// other.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitmill {

// A hash table with open addressing. Half of its slots are empty, so that most look-ups end at the
// first slot.
class MergeTable {
 public:
  struct Merge {
    int32_t rank;
    int32_t id;  // of the result
  };

  // REQUIRES: no more than `count` pairs will be set.
  explicit MergeTable(size_t count) {
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    slots_.assign(slots, Slot{empty, {0, 0}});
  }

  // A later merge of the same pair replaces an earlier one.
  void set(int32_t left, int32_t right, Merge merge) {
    slots_[slot_of(key_of(left, right))] = {key_of(left, right), merge};
  }

  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[slot_of(key_of(left, right))];
    return slot.key == empty ? nullptr : &slot.merge;
  }

 private:
  struct Slot {
    uint64_t key;
    Merge merge;
  };
  static constexpr uint64_t empty = ~uint64_t{0};  // ids are not negative

  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  // Where the key is, or where it would go.
  size_t slot_of(uint64_t key) const {
    // Fibonacci hashing: 2^64 over the golden ratio, the best-mixed bits at the top.
    size_t slot = (key * 0x9E3779B97F4A7C15u >> 20) & (slots_.size() - 1);
    while (slots_[slot].key != key && slots_[slot].key != empty) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }

  std::vector<Slot> slots_;
};

}  // namespace bitmill
