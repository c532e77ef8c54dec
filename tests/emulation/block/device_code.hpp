#pragma once
// CUDA's names for kernels, for a compiler that is not nvcc. kernels/simt.hpp includes this file;
// kernels use no other part of the emulator.
//
// A name that is missing here is an error of the compiler. Left out on purpose: atomics (results
// may not depend on an order), __activemask (says nothing that is certain), named barriers, and
// everything that kernels/tile.hpp wraps.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/emulation/block/grid.hpp"

// A function that the access hooks and ThreadSanitizer do not look into.
#define BITMILL_UNSEEN __attribute__((no_sanitize("thread")))

namespace bitmill::emulation {

using Site = std::source_location;  // in the kernel

// const: the code of one thread never sees another thread's.
[[gnu::const]] Index thread_index();
[[gnu::const]] Index block_index();
[[gnu::const]] Index block_size();
[[gnu::const]] Index grid_size();

// An array of shared memory as a kernel declares it. Every declaration is an object of its own.
struct SharedDeclaration {
  const char* name;
  const char* file;
  int line;
  size_t bytes;
  bool dynamic = false;  // its size is the launch's
};

// The array of the block that runs now: 16-byte aligned, all bits 1 at first (NaN), between pages
// that cannot be touched.
void* shared_array(const SharedDeclaration& declaration);

void sync_threads(Site site);
int sync_threads_vote(const char* operation, int predicate, Site site);  // the true votes
void sync_warp(uint32_t mask, Site site);
// Bits of lanes outside the mask, or that have returned, are 0.
uint32_t ballot(const char* operation, uint32_t mask, bool predicate, Site site);
// The lanes that brought the same value.
uint32_t match(const char* operation, uint32_t mask, uint64_t value, Site site);

enum class Shuffle { index, up, down, exclusive_or };
uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, unsigned operand, int width,
                 Site site);
enum class Reduction { add, min, max, bit_and, bit_or, bit_xor };
// min and max: of signed numbers if `is_signed`.
uint32_t reduce(Reduction kind, bool is_signed, uint32_t mask, uint32_t value, Site site);

template <typename T>
T shuffle_value(Shuffle kind, uint32_t mask, T value, unsigned operand, int width, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return std::bit_cast<T>(
      static_cast<Bits>(shuffle(kind, mask, std::bit_cast<Bits>(value), operand, width, site)));
}

template <typename T>
T reduce_value(Reduction kind, uint32_t mask, T value, Site site) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>,
                "CUDA reduces int and unsigned across a warp");
  return static_cast<T>(
      reduce(kind, std::is_signed_v<T>, mask, static_cast<uint32_t>(value), site));
}

// An argument as device code finds it. A struct says with each_pointer(visit) which of its members
// are pointers.
template <typename T>
T device_value(T value) {
  Runtime* const under = runtime();
  if constexpr (std::is_pointer_v<T>) {
    if (under != nullptr) {
      value = static_cast<T>(const_cast<void*>(under->address(value)));
    }
  } else if constexpr (requires(T & view) { view.each_pointer([](auto&) {}); }) {
    value.each_pointer([](auto& pointer) { pointer = device_value(pointer); });
  } else {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>,
                  "a kernel takes numbers, pointers, and structs with each_pointer()");
  }
  return value;
}

template <typename... Parameters>
struct BoundKernel {
  void (*kernel)(Parameters...);
  std::tuple<Parameters...> arguments;

  template <size_t... i>
  BITMILL_UNSEEN void call(std::index_sequence<i...> /*all*/) const {
    kernel(std::get<i>(arguments)...);
  }
  BITMILL_UNSEEN static void run(const void* bound) {
    static_cast<const BoundKernel*>(bound)->call(std::index_sequence_for<Parameters...>());
  }
};

// The arguments are taken now; the kernel runs when the stream comes to it.
template <typename... Parameters>
KernelBody bind_kernel(void (*kernel)(Parameters...), Parameters... values) {
  using Bound = BoundKernel<Parameters...>;
  return {&Bound::run, std::make_shared<const Bound>(Bound{kernel, {device_value(values)...}})};
}

}  // namespace bitmill::emulation

// The toolkit's own headers define some of these as nothing too, where g++ reads them.
#ifndef __global__
#define __global__
#endif
#ifndef __device__
#define __device__
#endif
#ifndef __host__
#define __host__
#endif
#ifndef __forceinline__
#define __forceinline__ inline __attribute__((always_inline))
#endif
#define __launch_bounds__(...)

#define threadIdx (::bitmill::emulation::thread_index())
#define blockIdx (::bitmill::emulation::block_index())
#define blockDim (::bitmill::emulation::block_size())
#define gridDim (::bitmill::emulation::grid_size())

#define BITMILL_SHARED(type, name, dimensions)                                 \
  using name##_type = type dimensions;                                         \
  static constexpr ::bitmill::emulation::SharedDeclaration name##_declaration{ \
      #name, __FILE__, __LINE__, sizeof(name##_type)};                         \
  name##_type& name =                                                          \
      *static_cast<name##_type*>(::bitmill::emulation::shared_array(name##_declaration))
#define BITMILL_DYNAMIC_SHARED(type, name)                                                        \
  static constexpr ::bitmill::emulation::SharedDeclaration name##_declaration{#name, __FILE__,    \
                                                                              __LINE__, 0, true}; \
  type* const name = static_cast<type*>(::bitmill::emulation::shared_array(name##_declaration))

using BitmillSite = ::bitmill::emulation::Site;

inline void __syncthreads(BitmillSite site = BitmillSite::current()) {
  ::bitmill::emulation::sync_threads(site);
}
inline int __syncthreads_count(int predicate, BitmillSite site = BitmillSite::current()) {
  return ::bitmill::emulation::sync_threads_vote("__syncthreads_count", predicate, site);
}
inline int __syncthreads_or(int predicate, BitmillSite site = BitmillSite::current()) {
  return ::bitmill::emulation::sync_threads_vote("__syncthreads_or", predicate, site) != 0;
}
inline int __syncthreads_and(int predicate, BitmillSite site = BitmillSite::current()) {
  return ::bitmill::emulation::sync_threads_vote("__syncthreads_and", predicate == 0, site) == 0;
}
inline void __syncwarp(unsigned mask = ~0U, BitmillSite site = BitmillSite::current()) {
  ::bitmill::emulation::sync_warp(mask, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              BitmillSite site = BitmillSite::current()) {
  return ::bitmill::emulation::ballot("__ballot_sync", mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, BitmillSite site = BitmillSite::current()) {
  return ::bitmill::emulation::ballot("__any_sync", mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, BitmillSite site = BitmillSite::current()) {
  return ::bitmill::emulation::ballot("__all_sync", mask, predicate == 0, site) == 0;
}

template <typename T>
unsigned __match_any_sync(unsigned mask, T value, BitmillSite site = BitmillSite::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "4 or 8 bytes are compared");
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  return ::bitmill::emulation::match("__match_any_sync", mask, std::bit_cast<Bits>(value), site);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              BitmillSite site = BitmillSite::current()) {
  using enum ::bitmill::emulation::Shuffle;
  return ::bitmill::emulation::shuffle_value(index, mask, value, lane, width, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                 BitmillSite site = BitmillSite::current()) {
  using enum ::bitmill::emulation::Shuffle;
  return ::bitmill::emulation::shuffle_value(up, mask, value, lanes, width, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                   BitmillSite site = BitmillSite::current()) {
  using enum ::bitmill::emulation::Shuffle;
  return ::bitmill::emulation::shuffle_value(down, mask, value, lanes, width, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  BitmillSite site = BitmillSite::current()) {
  using enum ::bitmill::emulation::Shuffle;
  return ::bitmill::emulation::shuffle_value(exclusive_or, mask, value, bits, width, site);
}

#define BITMILL_REDUCTION(name, kind)                                              \
  template <typename T>                                                            \
  T name(unsigned mask, T value, BitmillSite site = BitmillSite::current()) {      \
    using ::bitmill::emulation::Reduction;                                         \
    return ::bitmill::emulation::reduce_value(Reduction::kind, mask, value, site); \
  }
BITMILL_REDUCTION(__reduce_add_sync, add)
BITMILL_REDUCTION(__reduce_min_sync, min)
BITMILL_REDUCTION(__reduce_max_sync, max)
BITMILL_REDUCTION(__reduce_and_sync, bit_and)
BITMILL_REDUCTION(__reduce_or_sync, bit_or)
BITMILL_REDUCTION(__reduce_xor_sync, bit_xor)
#undef BITMILL_REDUCTION

inline int __popc(unsigned value) { return std::popcount(value); }
