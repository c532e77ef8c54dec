#pragma once
// Host memory that is pinned: made by cudaHostAlloc, or registered. Both sides may touch it.
// What cudaHostAlloc made ends at a page that cannot be accessed, and is inaccessible once freed.

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace bitmill::fake_cuda {

class PinnedMemory {
 public:
  static PinnedMemory& of_process();

  void* allocate(size_t bytes);
  // False when nothing that begins there was made by allocate().
  bool free(void* begin);
  // False when it overlaps what is pinned already.
  bool add(void* begin, size_t bytes);
  bool remove(void* begin);

  bool contains(const void* address) const;
  // Bytes of all that allocate() made or add() added.
  std::vector<size_t> live() const;
  std::string explain(const void* address) const;

 private:
  struct Range {
    size_t bytes;
    size_t mapped;  // 0 for what was registered
    bool freed;
  };
  PinnedMemory() = default;
  mutable std::mutex mutex_;
  std::map<const char*, Range> ranges_;
};

}  // namespace bitmill::fake_cuda
