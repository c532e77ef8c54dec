#pragma once
// Memory of this process, and of the machine it runs on.

#include <cstddef>
#include <cstdint>

namespace bitmill {

// Bytes that can still be allocated without swapping: the kernel's estimate for the machine, or
// what the limit of this process' control group leaves, whichever is less. 0 when the system does
// not say.
int64_t available_memory_bytes();

// The largest number of bytes that this process has held at once since forget_peak_memory(), or
// since it began; 0 when the system does not say.
int64_t peak_memory_bytes();
// For a job that is not the first one of its process. False where the system does not allow it:
// then peak_memory_bytes() goes on counting from the beginning of the process.
bool forget_peak_memory();

// Tells malloc to keep freed memory for the next allocation. Training allocates and frees the same
// megabytes at every step; to give them back in between costs a page fault per 4 KiB. Allocations
// of 32 MiB and more (weights) still go back at once. Call it at the beginning of main().
void keep_freed_memory();

// Memory with a mapping of its own, for large data that lives long. In the heap such data would lie
// between allocations that live shortly, and the gaps that those leave could not be joined.
class Pages {
 public:
  enum class Size {
    normal,
    // 2 MiB, where the system has some to give; else normal ones. Reading much data once takes
    // less time with them. Only for data that is written to as a whole.
    huge
  };
  // All bytes are zero. A page takes no memory before somebody writes to it. std::bad_alloc when
  // there is no room.
  explicit Pages(size_t bytes, Size size = Size::normal);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // Aligned to a page of the size that was asked for; nullptr when `bytes` was 0.
  std::byte* data() const { return data_; }

 private:
  size_t bytes_;  // of the mapping
  std::byte* data_ = nullptr;
};

}  // namespace bitmill
