#pragma once
// The rule for a kernel's accesses, on the emulator: sectors within a twentieth of the minimum, no
// bank conflict.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/emulation/block/access_counter.hpp"
#include "tests/emulation/block/grid.hpp"

namespace bitmill {

// `arrays`: bytes of every array that the kernels of `run` have to read, or to write; one that is
// read and written comes twice. Skips the test where accesses are not seen.
inline void expect_few_sectors(const std::function<void()>& run,
                               const std::vector<int64_t>& arrays) {
  if (!emulation::accesses_are_seen()) GTEST_SKIP() << "accesses are not counted in this build";
  const emulation::AccessCount count = emulation::count_accesses(run);
  uint64_t minimum = 0;
  for (const int64_t bytes : arrays) minimum += emulation::sectors_of(static_cast<uint64_t>(bytes));
  EXPECT_LE(count.sectors() * 100, minimum * 105)
      << count.sectors() << " sectors, at least " << minimum << "\n"
      << count.table();
  EXPECT_GE(count.sectors(), minimum) << count.table();  // else the counter has missed some
  EXPECT_EQ(count.bank_conflicts, 0U) << count.table();
}

}  // namespace bitmill
