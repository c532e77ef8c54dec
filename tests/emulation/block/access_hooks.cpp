// The functions that -fsanitize=thread calls before every access to memory, as this project's own:
// they hand the accesses of kernels to the counter. A program that has this file compiles its
// kernels with -fsanitize=thread, but does not link ThreadSanitizer.

#include <cstddef>
#include <cstdint>

#include "tests/emulation/block/access_counter.hpp"
#include "tests/emulation/block/block_runner.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {

bool accesses_are_seen() { return true; }

namespace {

void hook(const void* address, unsigned bytes, bool write, const void* code) {
  BlockRunner* const runner = BlockRunner::running();
  if (runner == nullptr || runner->current().silent > 0) return;
  const tsan::Quiet quiet;
  runner->accesses().access(*runner, address, bytes, write, code);
}

}  // namespace
}  // namespace bitmill::emulation

// The names are the compiler's. All of one kind differ by the size alone.
#define BITMILL_HOOK(name, bytes, write)                                          \
  void name(void* address) {                                                      \
    bitmill::emulation::hook(address, bytes, write, __builtin_return_address(0)); \
  }
#define BITMILL_HOOKS(bytes)                               \
  BITMILL_HOOK(__tsan_read##bytes, bytes, false)           \
  BITMILL_HOOK(__tsan_write##bytes, bytes, true)           \
  BITMILL_HOOK(__tsan_volatile_read##bytes, bytes, false)  \
  BITMILL_HOOK(__tsan_volatile_write##bytes, bytes, true)  \
  BITMILL_HOOK(__tsan_unaligned_read##bytes, bytes, false) \
  BITMILL_HOOK(__tsan_unaligned_write##bytes, bytes, true)

extern "C" {
BITMILL_HOOKS(1)
BITMILL_HOOKS(2)
BITMILL_HOOKS(4)
BITMILL_HOOKS(8)
BITMILL_HOOKS(16)

void __tsan_read_range(void* address, size_t bytes) {
  bitmill::emulation::hook(address, static_cast<unsigned>(bytes), false,
                           __builtin_return_address(0));
}
void __tsan_write_range(void* address, size_t bytes) {
  bitmill::emulation::hook(address, static_cast<unsigned>(bytes), true,
                           __builtin_return_address(0));
}

void __tsan_init() {}
void __tsan_func_entry(void* /*caller*/) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void** /*place*/) {}
void __tsan_vptr_update(void** /*place*/, void* /*value*/) {}

// Atomic operations of host code beside the kernels (kernels have none): done, in the strictest
// order.
#define BITMILL_FETCH(bits, type, name)                                                      \
  type __tsan_atomic##bits##_fetch_##name(volatile type* place, type value, int /*order*/) { \
    return __atomic_fetch_##name(place, value, __ATOMIC_SEQ_CST);                            \
  }
#define BITMILL_EXCHANGE(bits, type, kind, weak)                                                 \
  int __tsan_atomic##bits##_compare_exchange_##kind(volatile type* place, type* expected,        \
                                                    type value, int /*order*/, int /*failed*/) { \
    return __atomic_compare_exchange_n(place, expected, value, weak, __ATOMIC_SEQ_CST,           \
                                       __ATOMIC_SEQ_CST)                                         \
               ? 1                                                                               \
               : 0;                                                                              \
  }
#define BITMILL_ATOMICS(bits, type)                                                      \
  type __tsan_atomic##bits##_load(const volatile type* place, int /*order*/) {           \
    return __atomic_load_n(place, __ATOMIC_SEQ_CST);                                     \
  }                                                                                      \
  void __tsan_atomic##bits##_store(volatile type* place, type value, int /*order*/) {    \
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                      \
  type __tsan_atomic##bits##_exchange(volatile type* place, type value, int /*order*/) { \
    return __atomic_exchange_n(place, value, __ATOMIC_SEQ_CST);                          \
  }                                                                                      \
  BITMILL_FETCH(bits, type, add)                                                         \
  BITMILL_FETCH(bits, type, sub)                                                         \
  BITMILL_FETCH(bits, type, and)                                                         \
  BITMILL_FETCH(bits, type, or)                                                          \
  BITMILL_EXCHANGE(bits, type, strong, false)                                            \
  BITMILL_EXCHANGE(bits, type, weak, true)

BITMILL_ATOMICS(8, uint8_t)
BITMILL_ATOMICS(32, uint32_t)
BITMILL_ATOMICS(64, uint64_t)

void __tsan_atomic_thread_fence(int /*order*/) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
}
