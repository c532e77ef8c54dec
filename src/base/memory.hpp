#pragma once
// Memory of this process, and of the machine it runs on.

#include <cstddef>
#include <cstdint>

namespace bitmill {

// Bytes that processes here can take without swapping, as the kernel estimates it, and no more than
// the limit of this process' control group; 0 when the system does not say.
int64_t available_memory_bytes();

// The most that this process held at once since it began, in bytes; 0 when the system does not say.
int64_t peak_memory_bytes();

// Keeps freed memory for the next allocation of its kind. Training allocates and frees the same
// megabytes at every step; giving them back in between costs a page fault per 4 KiB. Blocks of
// 32 MiB and more (weights) still go back at once. Call it first thing in main().
void keep_freed_memory();

// Memory of its own mapping, for what is large and lives long: in the heap it would lie among short
// lives, and what those leave could not be joined.
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
