#pragma once
// What the emulator tells ThreadSanitizer, in the preset emulated-tsan; elsewhere Quiet alone does
// something, for the access hooks.
//
// Each CUDA thread is a fiber of its own, and a switch orders nothing. Only release() and acquire()
// do: barriers and __syncwarp call them, as CUDA says that these order memory. The emulator itself
// is compiled without instrumentation. Quiet also hides what it does inside the C library.

#include <cstddef>

#ifdef BITMILL_TSAN_FIBERS
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
}
#endif

namespace bitmill::emulation::tsan {

#ifdef BITMILL_TSAN_FIBERS

inline constexpr bool on = true;
inline void* this_fiber() { return __tsan_get_current_fiber(); }
inline void* make_fiber() { return __tsan_create_fiber(0); }
inline void end_fiber(void* fiber) { __tsan_destroy_fiber(fiber); }
inline void switch_to(void* fiber) {
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
}
inline void release(void* event) { __tsan_release(event); }
inline void acquire(void* event) { __tsan_acquire(event); }
inline void has_read(const void* address, size_t bytes) {
  __tsan_read_range(const_cast<void*>(address), bytes);
}
inline void has_written(void* address, size_t bytes) { __tsan_write_range(address, bytes); }

struct Quiet {
  Quiet() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Quiet() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

#else

inline constexpr bool on = false;
inline void* this_fiber() { return nullptr; }
inline void* make_fiber() { return nullptr; }
inline void end_fiber(void* /*fiber*/) {}
inline void switch_to(void* /*fiber*/) {}
inline void release(void* /*event*/) {}
inline void acquire(void* /*event*/) {}
inline void has_read(const void* /*address*/, size_t /*bytes*/) {}
inline void has_written(void* /*address*/, size_t /*bytes*/) {}

// The access hooks are to look at the kernel's own accesses. The emulator is compiled without them,
// but the linker may take a function of the standard library from a file that is compiled with
// them. Adds to the count of reasons to be silent of the current CUDA thread; nothing outside a
// kernel.
void silence_hooks(int by);

struct Quiet {
  Quiet() { silence_hooks(1); }
  ~Quiet() { silence_hooks(-1); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

#endif

}  // namespace bitmill::emulation::tsan
