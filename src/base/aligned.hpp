#pragma once
// Vectors that begin at a 64-byte boundary. Where operands and results of a product lie decides
// which of its code paths MKL takes, and so the last bits.

#include <cstddef>
#include <new>
#include <vector>

namespace bitmill {

template <class Value>
struct AlignedAllocator {
  using value_type = Value;

  AlignedAllocator() = default;
  template <class Other>
  AlignedAllocator(const AlignedAllocator<Other>&) {}

  static constexpr std::align_val_t alignment{64};
  Value* allocate(size_t count) {
    return static_cast<Value*>(::operator new(count * sizeof(Value), alignment));
  }
  void deallocate(Value* values, size_t) { ::operator delete(values, alignment); }

  bool operator==(const AlignedAllocator&) const = default;
};

template <class Value>
using AlignedVector = std::vector<Value, AlignedAllocator<Value>>;

}  // namespace bitmill
