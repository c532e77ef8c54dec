#include "emulation/runtime/handles.hpp"

#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace bitmill::fake_cuda {

void* new_handle_address() {
  constexpr size_t span = size_t{1} << 36, distance = 64;
  static char* const begin = [] {
    void* addresses =
        mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (addresses == MAP_FAILED) std::abort();
    return static_cast<char*>(addresses);
  }();
  static std::atomic<size_t> used{0};
  const size_t offset = used += distance;
  if (offset >= span) {
    std::fprintf(stderr, "emulation: a thousand million handles are used up\n");
    std::abort();
  }
  return begin + offset;
}

}  // namespace bitmill::fake_cuda
