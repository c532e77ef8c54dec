// What is counted, by hand.

#include "tests/emulation/block/access_counter.hpp"

#include <gtest/gtest.h>

#include "kernels/simt.hpp"
#include "kernels/tile.hpp"
#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/planted_kernels.hpp"

namespace bitmill {
namespace {

using emulation::AccessCount;
using emulation::DeviceArray;
using kernels::launch;

class AccessCounter : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulation::accesses_are_seen()) GTEST_SKIP() << "accesses are not seen in this build";
  }
};

__global__ void strided(const float* from, float* to, int stride, int offset) {
  to[threadIdx.x] = from[static_cast<int>(threadIdx.x) * stride + offset];
}

AccessCount count_strided(unsigned threads, int stride, int offset) {
  const DeviceArray<float> from(std::vector<float>(4096), "from"), to(threads, "to");
  return emulation::count_accesses([&] {
    launch(strided, {{1}, {threads}}, nullptr, from.data(), to.data(), stride, offset);
  });
}

TEST_F(AccessCounter, ANeighbourInTheSameSectorCostsNothing) {
  const AccessCount together = count_strided(32, 1, 0);
  EXPECT_EQ(together.arrays.at("from").read, 4U);  // 128 bytes
  EXPECT_EQ(together.arrays.at("to").written, 4U);
  EXPECT_EQ(together.sectors(), 8U);
  EXPECT_EQ(count_strided(32, 1, 1).arrays.at("from").read, 5U);
  EXPECT_EQ(count_strided(32, 0, 0).arrays.at("from").read, 1U);
  EXPECT_EQ(count_strided(32, 2, 0).arrays.at("from").read, 8U);
  EXPECT_EQ(count_strided(32, 8, 0).arrays.at("from").read, 32U);
  EXPECT_EQ(count_strided(32, 64, 0).arrays.at("from").read, 32U);
  // Two warps do not share a request; half a warp asks for half.
  EXPECT_EQ(count_strided(64, 0, 0).arrays.at("from").read, 2U);
  EXPECT_EQ(count_strided(16, 1, 0).arrays.at("from").read, 2U);
}

__global__ void copies16(const uint32_t* from, uint32_t* to) {
  kernels::store16(to + threadIdx.x * 4, kernels::load16(from + threadIdx.x * 4));
}

TEST_F(AccessCounter, SixteenBytesOfALaneAreOneAccess) {
  const DeviceArray<uint32_t> from(std::vector<uint32_t>(128), "from"), to(128, "to");
  const AccessCount count = emulation::count_accesses([&] {
    launch(copies16, {{1}, {32}}, nullptr, from.data(), to.data());
  });
  EXPECT_EQ(count.arrays.at("from").read, 16U);
  EXPECT_EQ(count.arrays.at("to").written, 16U);
}

__global__ void copies_late(const uint32_t* from, uint32_t* to) {
  BITMILL_SHARED(uint32_t, stage, [32 * 4]);
  kernels::copy_async<16>(&stage[threadIdx.x * 4], from + threadIdx.x * 4);
  kernels::commit_copies();
  kernels::wait_copies<0>();
  kernels::store16(to + threadIdx.x * 4, kernels::load16(&stage[threadIdx.x * 4]));
}

TEST_F(AccessCounter, ALateCopyOfSomeLanesReadsGlobalAndWritesSharedMemory) {
  const DeviceArray<uint32_t> from(std::vector<uint32_t>(128), "from"), to(128, "to");
  const AccessCount count = emulation::count_accesses([&] {
    launch(copies_late, {{1}, {5}}, nullptr, from.data(), to.data());
  });
  EXPECT_EQ(count.arrays.at("from").read, 3U);  // 80 bytes
  EXPECT_EQ(count.arrays.at("from").written, 0U);
  EXPECT_EQ(count.arrays.at("to").written, 3U);
  EXPECT_EQ(count.shared_requests, 2U);
}

// Lanes leave the loop at different times, and half of them skip a turn: the vote in every turn
// says which accesses belong together.
__global__ void uneven(const float* from, float* to, int turns) {
  const int lane = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int turn = 0; turn < turns; ++turn) {
    if (__any_sync(~0U, lane == turn) != 0 && (lane < 16 || turn != 1))
      sum += from[turn * 32 + lane];
  }
  to[lane] = sum;
}

TEST_F(AccessCounter, AVoteKeepsTheTurnsOfALoopApart) {
  const DeviceArray<float> from(std::vector<float>(4 * 32), "from"), to(32, "to");
  const AccessCount count = emulation::count_accesses([&] {
    launch(uneven, {{1}, {32}}, nullptr, from.data(), to.data(), 4);
  });
  EXPECT_EQ(count.arrays.at("from").read, 4U + 2 + 4 + 4);
}

__global__ void banks(float* to, int stride) {
  BITMILL_SHARED(float, tile, [32 * 33]);
  const int lane = static_cast<int>(threadIdx.x);
  tile[lane * stride] = 1;
  __syncwarp();
  to[lane] = tile[lane * stride];
}

TEST_F(AccessCounter, ABankGivesOneWordAtATime) {
  for (const auto& [stride, conflicts] :
       {std::pair{1, 0}, {33, 0}, {0, 0}, {2, 1}, {8, 7}, {32, 31}}) {
    const DeviceArray<float> to(32, "to");
    const AccessCount count = emulation::count_accesses([&] {
      launch(banks, {{1}, {32}}, nullptr, to.data(), stride);
    });
    EXPECT_EQ(count.shared_requests, 2U);
    EXPECT_EQ(count.bank_conflicts, 2U * static_cast<unsigned>(conflicts)) << stride;
  }
}

__global__ void banks16(uint32_t* to, int stride) {
  BITMILL_SHARED(uint32_t, tile, [32 * 32]);
  kernels::store16(&tile[static_cast<int>(threadIdx.x) * stride], {{1, 2, 3, 4}});
  __syncwarp();
  to[threadIdx.x] = tile[threadIdx.x];
}

TEST_F(AccessCounter, SixteenByteAccessesGoByQuarterWarps) {
  for (const auto& [stride, conflicts] : {std::pair{4, 0U}, {8, 4U}, {32, 4U * 7}}) {
    const DeviceArray<uint32_t> to(32, "to");
    const AccessCount count = emulation::count_accesses([&] {
      launch(banks16, {{1}, {32}}, nullptr, to.data(), stride);
    });
    EXPECT_EQ(count.bank_conflicts, conflicts) << stride;
  }
}

TEST_F(AccessCounter, WorkersGiveTheSameCount) {
  const auto count = [](int workers) {
    emulation::settings().workers = workers;
    const AccessCount all = emulation::count_accesses(
        [] { planted::run_sum_rows(planted::sum_rows<planted::Bug::none>, 20, 1000); });
    emulation::settings() = {};
    return all.table();
  };
  EXPECT_EQ(count(1), count(3));
}

}  // namespace
}  // namespace bitmill
