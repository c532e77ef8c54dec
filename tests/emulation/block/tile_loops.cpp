#include "tests/emulation/block/tile_loops.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "tests/emulation/block/block_runner.hpp"
#include "tests/emulation/block/collectives.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {
namespace {

struct Fragments {
  uint32_t a[4], b[2];
};
static_assert(sizeof(Fragments) <= most_brought);

// The fragments of all lanes. An mma without a whole warp is not defined.
struct Tile {
  Fragments lanes[32];

  Tile(BlockRunner& runner, const char* operation, const uint32_t (&a)[4], const uint32_t (&b)[2],
       const std::source_location& site) {
    const Fragments mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const Brought all = meet(runner, operation, ~0U, &mine, sizeof mine, site);
    if (all.lanes != ~0U) {
      runner.fail(std::string(operation) + ", " + words(site) + ": not all 32 lanes are there");
    }
    for (unsigned lane = 0; lane < 32; ++lane) {
      std::memcpy(&lanes[lane], all.of(lane), sizeof(Fragments));
    }
  }
  // Part 0 to 7 of a row of A, of a column of B.
  uint32_t a(unsigned row, unsigned part) const {
    return lanes[row % 8 * 4 + part % 4].a[row / 8 + part / 4 * 2];
  }
  uint32_t b(unsigned part, unsigned column) const {
    return lanes[column * 4 + part % 4].b[part / 4];
  }
};

float value_of(Half type, uint32_t bits) {
  if (type == Half::bf16) return std::bit_cast<float>(bits << 16);
  const int exponent = static_cast<int>(bits >> 10 & 31U);
  const auto fraction = static_cast<float>(bits & 1023U);
  float size = std::ldexp(1024.0F + fraction, exponent - 25);
  if (exponent == 0) size = std::ldexp(fraction, -24);
  if (exponent == 31) size = fraction == 0 ? HUGE_VALF : std::nanf("");
  return (bits & 0x8000U) != 0 ? -size : size;
}

unsigned d_row(unsigned lane, unsigned i) { return lane / 4 + 8 * (i / 2); }
unsigned d_column(unsigned lane, unsigned i) { return lane % 4 * 2 + i % 2; }

bool is_aligned(const void* address, size_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

// The access of an instruction that the hooks do not see. `code` is in the kernel.
void note(BlockRunner& runner, const void* address, size_t bytes, bool write, const void* code) {
  const tsan::Quiet quiet;
  if (!is_aligned(address, bytes)) {
    runner.fail("an access of " + std::to_string(bytes) + " bytes is misaligned", true);
  }
  if (accesses_are_seen()) {
    runner.accesses().access(runner, address, static_cast<unsigned>(bytes), write, code);
  }
}

void check_destination(BlockRunner& runner, const void* to_shared, size_t bytes) {
  const tsan::Quiet quiet;
  const SharedMemory::Array* array = runner.shared().find(to_shared);
  if (array == nullptr || !array->holds(to_shared, bytes)) {
    runner.fail("copy_async to what is no shared array, or past its end", true);
  }
}

}  // namespace

void mma_halves(Half type, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                const std::source_location& site) {
  const tsan::Quiet quiet;
  BlockRunner& runner = *BlockRunner::running();
  const Tile tile(runner, type == Half::bf16 ? "mma_bf16" : "mma_f16", a, b, site);
  const unsigned lane = runner.current().lane;
  for (unsigned i = 0; i < 4; ++i) {
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned shift = k % 2 * 16;
      const float left = value_of(type, tile.a(d_row(lane, i), k / 2) >> shift & 0xFFFFU);
      const float right = value_of(type, tile.b(k / 2, d_column(lane, i)) >> shift & 0xFFFFU);
      d[i] += left * right;
    }
  }
}

void mma_bits(BitProduct product, int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
              const std::source_location& site) {
  const tsan::Quiet quiet;
  BlockRunner& runner = *BlockRunner::running();
  const bool both = product == BitProduct::bit_and;
  const Tile tile(runner, both ? "mma_b1_and" : "mma_b1_xor", a, b, site);
  const unsigned lane = runner.current().lane;
  for (unsigned i = 0; i < 4; ++i) {
    for (unsigned part = 0; part < 8; ++part) {
      const uint32_t left = tile.a(d_row(lane, i), part), right = tile.b(part, d_column(lane, i));
      d[i] += std::popcount(both ? left & right : left ^ right);
    }
  }
}

int dot_bytes(int a, int b, int c) {
  auto sum = static_cast<uint32_t>(c);  // it wraps
  for (int shift = 0; shift < 32; shift += 8) {
    const int left = static_cast<int8_t>(a >> shift), right = static_cast<int8_t>(b >> shift);
    sum += static_cast<uint32_t>(left * right);
  }
  return static_cast<int>(sum);
}

void copy_async(void* to_shared, const void* from_global, size_t bytes) {
  BlockRunner& runner = *BlockRunner::running();
  const auto* const code = static_cast<const char*>(__builtin_return_address(0));
  check_destination(runner, to_shared, bytes);
  note(runner, from_global, bytes, false, code);
  note(runner, to_shared, bytes, true, code + 1);  // an access of its own for the counter
  tsan::has_written(to_shared, bytes);
  const tsan::Quiet quiet;
  std::memset(to_shared, 0xFF, bytes);
  CudaThread& thread = runner.current();
  thread.copies.push_back({to_shared, from_global, bytes, thread.copy_group});
}

void commit_copies() { ++BlockRunner::running()->current().copy_group; }

void wait_copies(unsigned left) {
  CudaThread& thread = BlockRunner::running()->current();
  const auto arrives = [&](const LateCopy& copy) { return copy.group + left < thread.copy_group; };
  for (const LateCopy& copy : thread.copies) {
    if (!arrives(copy)) continue;
    tsan::has_read(copy.from, copy.bytes);
    tsan::has_written(copy.to, copy.bytes);
    const tsan::Quiet quiet;
    std::memcpy(copy.to, copy.from, copy.bytes);
  }
  const tsan::Quiet quiet;
  std::erase_if(thread.copies, arrives);
}

void load16(uint32_t (&words)[4], const void* from) {
  note(*BlockRunner::running(), from, 16, false, __builtin_return_address(0));
  tsan::has_read(from, 16);
  const tsan::Quiet quiet;
  std::memcpy(words, from, 16);
}

void store16(void* to, const uint32_t (&words)[4]) {
  note(*BlockRunner::running(), to, 16, true, __builtin_return_address(0));
  tsan::has_written(to, 16);
  const tsan::Quiet quiet;
  std::memcpy(to, words, 16);
}

}  // namespace bitmill::emulation
