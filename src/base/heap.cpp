#include "base/heap.hpp"

#include <malloc.h>

namespace bitmill {

void keep_freed_memory() {
  constexpr int mebibyte = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, 32 * mebibyte);
  mallopt(M_TRIM_THRESHOLD, 512 * mebibyte);
  mallopt(M_TOP_PAD, 64 * mebibyte);
}

}  // namespace bitmill
