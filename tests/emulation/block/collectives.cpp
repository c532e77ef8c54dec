#include "tests/emulation/block/collectives.hpp"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/emulation/block/block_runner.hpp"
#include "tests/emulation/block/device_code.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {
namespace {

BlockRunner& runner_now() { return *BlockRunner::running(); }

std::string hex(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

void complete(BlockRunner& runner, Warp& warp, Meeting& meeting, const CudaThread* but) {
  meeting.came[meeting.turn] = meeting.arrived;
  runner.wake(warp, but == nullptr ? meeting.arrived : meeting.arrived & ~(1U << but->lane));
  meeting.arrived = 0;
  meeting.turn ^= 1;
}

bool is_same(const char* one, const char* other) {
  return one == other || std::strcmp(one, other) == 0;
}

[[noreturn]] void fail_outside(BlockRunner& runner, const char* operation, uint32_t mask) {
  runner.fail(std::string(operation) + " with mask " + hex(mask) + ", which leaves out lane " +
              std::to_string(runner.current().lane) + ", its own");
}

[[noreturn]] void fail_different(BlockRunner& runner, const Meeting& meeting,
                                 const char* operation) {
  const CudaThread& other = runner.current().warp->lanes[std::countr_zero(meeting.arrived)];
  runner.fail("lanes of mask " + hex(meeting.mask) + " are at different collectives: " + operation +
              " here, lane " + std::to_string(other.lane) + " at " + meeting.operation + ", " +
              words(other.site));
}

// Fails where a lane of `meeting` is in another one that waits for the current lane.
void check_masks(BlockRunner& runner, const Meeting& meeting, const char* operation) {
  const CudaThread& thread = runner.current();
  for (unsigned i = 0; i < thread.warp->used; ++i) {
    const Meeting& before = *thread.warp->meetings[i];
    if (before.mask == meeting.mask || (before.mask >> thread.lane & 1U) == 0) continue;
    if ((before.arrived & meeting.mask) == 0) continue;
    const CudaThread& other = thread.warp->lanes[std::countr_zero(before.arrived & meeting.mask)];
    runner.fail("lanes disagree about the mask: " + std::string(operation) + " with " +
                hex(meeting.mask) + " here, lane " + std::to_string(other.lane) + " in " +
                before.operation + " with " + hex(before.mask) + ", " + words(other.site));
  }
}

// The current lane is about to come to `meeting`.
inline void check_agreement(BlockRunner& runner, const Meeting& meeting, const char* operation) {
  const CudaThread& thread = runner.current();
  if ((meeting.mask >> thread.lane & 1U) == 0) fail_outside(runner, operation, meeting.mask);
  if (meeting.arrived != 0 && !is_same(meeting.operation, operation)) {
    fail_different(runner, meeting, operation);
  }
  if (thread.warp->used > 1) check_masks(runner, meeting, operation);
}

}  // namespace

Brought meet(BlockRunner& runner, const char* operation, uint32_t mask, const void* mine,
             size_t bytes, const std::source_location& site) {
  CudaThread& thread = runner.current();
  Meeting& meeting = thread.warp->meeting(mask);
  check_agreement(runner, meeting, operation);
  ++thread.epoch;
  const unsigned turn = meeting.turn;
  meeting.operation = operation;
  // Values lie close together, and most are copied without a call.
  const size_t stride = bytes <= 8 ? 8 : most_brought;
  unsigned char* const place = meeting.brought[turn] + thread.lane * stride;
  if (bytes == 8) {
    std::memcpy(place, mine, 8);
  } else {
    std::memcpy(place, mine, bytes);
  }
  meeting.arrived |= 1U << thread.lane;
  if (meeting.arrived == (mask & thread.warp->alive)) {
    complete(runner, *thread.warp, meeting, &thread);
  } else {
    runner.wait(operation, site);
  }
  return {meeting.brought[turn], stride, meeting.came[turn]};
}

Meeting& Warp::another_meeting(uint32_t mask) {
  for (unsigned i = 0; i < used; ++i) {
    if (meetings[i]->mask == mask) return *meetings[i];
  }
  if (used == meetings.size()) meetings.push_back(std::make_unique<Meeting>());
  Meeting& fresh = *meetings[used++];
  fresh.mask = mask;
  fresh.arrived = 0;
  return fresh;
}

void complete_meetings(BlockRunner& runner, Warp& warp) {
  for (unsigned i = 0; i < warp.used; ++i) {
    Meeting& meeting = *warp.meetings[i];
    if (meeting.arrived != 0 && meeting.arrived == (meeting.mask & warp.alive)) {
      complete(runner, warp, meeting, nullptr);
    }
  }
}

Index thread_index() { return runner_now().current().index; }
Index block_index() { return runner_now().block(); }
Index block_size() {
  const Extent& threads = runner_now().grid().threads;
  return {threads.x, threads.y, threads.z};
}
Index grid_size() {
  const Extent& blocks = runner_now().grid().blocks;
  return {blocks.x, blocks.y, blocks.z};
}

void* shared_array(const SharedDeclaration& declaration) {
  const tsan::Quiet quiet;
  BlockRunner& runner = runner_now();
  std::string problem;
  void* const array = runner.shared().array(declaration, runner.grid().shared_bytes, problem);
  if (array == nullptr) runner.fail(problem);
  return array;
}

void sync_threads(Site site) { sync_threads_vote("__syncthreads", 0, site); }

int sync_threads_vote(const char* operation, int predicate, Site site) {
  const tsan::Quiet quiet;
  BlockRunner& runner = runner_now();
  BlockBarrier& barrier = runner.barrier();
  CudaThread& thread = runner.current();
  if (const CudaThread* gone = runner.one_that_returned()) {
    runner.fail(std::string("divergent barrier: is at ") + operation + ", " + words(site) +
                ", but thread " + words(gone->index) + " has returned");
  }
  if (barrier.arrived > 0 && (barrier.site.line() != site.line() ||
                              !is_same(barrier.site.file_name(), site.file_name()))) {
    const CudaThread& other = *barrier.first;
    runner.fail(std::string("divergent barrier: is at ") + operation + ", " + words(site) +
                ", but thread " + words(other.index) + " is at " + barrier.operation + ", " +
                words(barrier.site));
  }
  ++thread.epoch;
  barrier.operation = operation;
  barrier.site = site;
  barrier.votes += predicate != 0 ? 1 : 0;
  const unsigned turn = barrier.turn;
  tsan::release(barrier.order.get() + 8 * turn);
  if (++barrier.arrived == 1) barrier.first = &thread;
  if (barrier.arrived < runner.threads()) {
    runner.wait(operation, site);
  } else {
    barrier.result[turn] = barrier.votes;
    barrier.votes = 0;
    barrier.arrived = 0;
    barrier.turn ^= 1;
    runner.wake_all_others();
  }
  tsan::acquire(barrier.order.get() + 8 * turn);
  return barrier.result[turn];
}

// Orders the memory of the lanes that meet, which no other collective does.
void sync_warp(uint32_t mask, Site site) {
  const tsan::Quiet quiet;
  BlockRunner& runner = runner_now();
  Meeting& meeting = runner.current().warp->meeting(mask);
  unsigned char* const order = &meeting.brought[meeting.turn][0];
  tsan::release(order);
  meet(runner, "__syncwarp", mask, "", 0, site);
  tsan::acquire(order);
}

uint32_t ballot(const char* operation, uint32_t mask, bool predicate, Site site) {
  const tsan::Quiet quiet;
  const unsigned char mine = predicate ? 1 : 0;
  const Brought all = meet(runner_now(), operation, mask, &mine, 1, site);
  uint32_t votes = 0;
  for (uint32_t left = all.lanes; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    votes |= uint32_t{all.of(lane)[0]} << lane;
  }
  return votes;
}

uint32_t match(const char* operation, uint32_t mask, uint64_t value, Site site) {
  const tsan::Quiet quiet;
  const Brought all = meet(runner_now(), operation, mask, &value, sizeof value, site);
  uint32_t same = 0;
  for (uint32_t left = all.lanes; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    same |= uint32_t{std::memcmp(all.of(lane), &value, sizeof value) == 0} << lane;
  }
  return same;
}

namespace {

// PTX ISA, shfl.sync: the lane whose value is taken.
unsigned source_lane(Shuffle kind, unsigned lane, unsigned operand, unsigned width) {
  const unsigned first = lane & ~(width - 1), last = first + width - 1;
  const unsigned distance = operand & 31;
  switch (kind) {
    case Shuffle::index:
      return first | (distance & (width - 1));
    case Shuffle::up:
      return lane < first + distance ? lane : lane - distance;
    case Shuffle::down:
      return lane + distance > last ? lane : lane + distance;
    case Shuffle::exclusive_or:
      return (lane ^ distance) > last ? lane : lane ^ distance;
  }
  return lane;
}

const char* name_of(Shuffle kind) {
  const char* const names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync",
                               "__shfl_xor_sync"};
  return names[static_cast<int>(kind)];
}

}  // namespace

uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, unsigned operand, int width,
                 Site site) {
  const tsan::Quiet quiet;
  BlockRunner& runner = runner_now();
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    runner.fail(std::string(name_of(kind)) + " with width " + std::to_string(width) + ", " +
                words(site) + ": it must be 1, 2, 4, 8, 16 or 32");
  }
  const Brought all = meet(runner, name_of(kind), mask, &value, sizeof value, site);
  const unsigned lane = runner.current().lane;
  const unsigned source = source_lane(kind, lane, operand, static_cast<unsigned>(width));
  if ((all.lanes >> source & 1U) == 0) {
    const bool outside = (mask >> source & 1U) == 0;
    runner.fail(std::string(name_of(kind)) + ", " + words(site) + ": reads lane " +
                std::to_string(source) +
                (outside ? ", which is outside its mask " + hex(mask)
                         : std::string(", which has returned or does not exist")));
  }
  uint64_t taken = 0;
  std::memcpy(&taken, all.of(source), sizeof taken);
  return taken;
}

namespace {

uint32_t combine(Reduction kind, bool is_signed, uint32_t a, uint32_t b) {
  const bool below = is_signed ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
  switch (kind) {
    case Reduction::add:
      return a + b;
    case Reduction::min:
      return below ? a : b;
    case Reduction::max:
      return below ? b : a;
    case Reduction::bit_and:
      return a & b;
    case Reduction::bit_or:
      return a | b;
    case Reduction::bit_xor:
      return a ^ b;
  }
  return a;
}

}  // namespace

uint32_t reduce(Reduction kind, bool is_signed, uint32_t mask, uint32_t value, Site site) {
  const tsan::Quiet quiet;
  const char* const names[] = {"__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync",
                               "__reduce_and_sync", "__reduce_or_sync",  "__reduce_xor_sync"};
  const char* const operation = names[static_cast<int>(kind)];
  const Brought all = meet(runner_now(), operation, mask, &value, sizeof value, site);
  uint32_t total = 0;
  bool first = true;
  for (uint32_t left = all.lanes; left != 0; left &= left - 1) {
    uint32_t one = 0;
    std::memcpy(&one, all.of(static_cast<unsigned>(std::countr_zero(left))), sizeof one);
    total = first ? one : combine(kind, is_signed, total, one);
    first = false;
  }
  return total;
}

}  // namespace bitmill::emulation
