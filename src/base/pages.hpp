#pragma once
// Memory of its own mapping, for what is large and lives long: in the heap it would lie among short
// lives, and what those leave could not be joined.

#include <cstddef>

namespace bitmill {

class Pages {
 public:
  // Zeros, which take no memory before they are written to. std::bad_alloc when there is no room.
  explicit Pages(size_t bytes);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // At a page's begin; nullptr of no bytes.
  std::byte* data() const { return data_; }

 private:
  const size_t bytes_;
  std::byte* data_ = nullptr;
};

}  // namespace bitmill
