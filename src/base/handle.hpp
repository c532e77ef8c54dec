#pragma once
// Owns one C handle (descriptor, communicator, regular expression). Each handle has one owner: a
// moved-from object holds Traits::null() or the target's former handle, so nothing is destroyed
// twice.
//
// Traits: `Type`, `null()`, and `destroy(Type)`, which must not throw.

#include <utility>

namespace bitmill {

template <class Traits>
class UniqueHandle {
 public:
  using Type = typename Traits::Type;

  UniqueHandle() = default;
  explicit UniqueHandle(Type raw) : raw_(raw) {}
  UniqueHandle(UniqueHandle&& other) noexcept : raw_(other.release()) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  UniqueHandle(const UniqueHandle&) = delete;
  UniqueHandle& operator=(const UniqueHandle&) = delete;
  ~UniqueHandle() {
    if (raw_ != Traits::null()) Traits::destroy(raw_);
  }

  Type get() const { return raw_; }
  // The caller owns the handle from here on.
  Type release() { return std::exchange(raw_, Traits::null()); }

 private:
  Type raw_ = Traits::null();
};

}  // namespace bitmill
