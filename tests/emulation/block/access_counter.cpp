#include "tests/emulation/block/access_counter.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>
#include <set>

#include "tests/emulation/block/block_runner.hpp"
#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/illegal_access.hpp"

// The program's own bytes, from the linker: constants that a kernel may read.
extern "C" const char __executable_start;
extern "C" const char end;

namespace bitmill::emulation {
namespace {

std::atomic<bool> counting_now = false;
std::mutex sum_mutex;
AccessCount whole_sum;

bool is_constant(const void* address) { return address >= &__executable_start && address < &end; }

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

}  // namespace

// Of a program without access_hooks.cpp.
[[gnu::weak]] bool accesses_are_seen() { return false; }

uint64_t AccessCount::sectors() const {
  uint64_t all = 0;
  for (const auto& [name, sectors] : arrays) all += sectors.read + sectors.written;
  return all;
}

void AccessCount::add(const AccessCount& other) {
  for (const auto& [name, sectors] : other.arrays) {
    arrays[name].read += sectors.read;
    arrays[name].written += sectors.written;
  }
  shared_requests += other.shared_requests;
  bank_conflicts += other.bank_conflicts;
}

std::string AccessCount::table() const {
  std::string all;
  for (const auto& [name, sectors] : arrays) {
    all += name + ": " + std::to_string(sectors.read) + " sectors read, " +
           std::to_string(sectors.written) + " written\n";
  }
  return all + "shared memory: " + std::to_string(shared_requests) + " requests, " +
         std::to_string(bank_conflicts) + " bank conflicts\n";
}

AccessCount count_accesses(const std::function<void()>& run) {
  {
    const std::lock_guard lock(sum_mutex);
    whole_sum = {};
  }
  counting_now = true;
  try {
    run();
  } catch (...) {
    counting_now = false;
    throw;
  }
  counting_now = false;
  const std::lock_guard lock(sum_mutex);
  return whole_sum;
}

void AccessCounter::begin_block() { counting_ = counting_now; }

void AccessCounter::end_block() {
  if (!counting_) return;
  for (auto& warp : warps_) {
    for (const auto& [code, instruction] : warp) {
      for (const auto& [when, request] : instruction.open) add(instruction, request);
    }
  }
  warps_.clear();
  const std::lock_guard lock(sum_mutex);
  whole_sum.add(sum_);
  sum_ = {};
}

void AccessCounter::access(BlockRunner& runner, const void* address, unsigned bytes, bool write,
                           const void* code) {
  if (runner.current().stack->contains(address)) return;
  const auto fail = [&](const std::string& more) {
    runner.fail(access_words(runner, address, bytes, write, code) + more, true);
  };
  if (bytes <= 16 && number(address) % bytes != 0) fail(": misaligned");
  const bool shared = runner.shared().owns(address);
  if (shared) {
    const SharedMemory::Array* array = runner.shared().find(address);
    if (array == nullptr || !array->holds(address, bytes)) fail("");
  } else if (in_device_memory(address)) {
    const DeviceRange* range = nearest_device_range(address);
    if (range == nullptr || !range->holds(address, bytes)) fail("");
  } else if (write || !is_constant(address)) {
    fail("");
  } else {
    return;
  }
  if (counting_) note(runner, address, bytes, write, shared, code);
}

void AccessCounter::note(BlockRunner& runner, const void* address, unsigned bytes, bool write,
                         bool shared, const void* code) {
  const CudaThread& thread = runner.current();
  const unsigned warp = thread.number / lanes_per_warp;
  if (warps_.size() <= warp) warps_.resize(warp + 1);
  Instruction& instruction = warps_[warp][code];
  instruction.bytes = bytes;
  instruction.write = write;
  instruction.shared = shared;
  Instruction::Lane& last = instruction.last[thread.lane];
  last.turn = last.epoch == thread.epoch ? last.turn + 1 : 0;
  last.epoch = thread.epoch;
  const auto key = std::make_pair(last.epoch, last.turn);
  Request& request = instruction.open[key];
  request.lanes |= 1U << thread.lane;
  request.addresses[thread.lane] = address;
  if (request.lanes == ~0U) {  // complete: its memory is free for others
    add(instruction, request);
    instruction.open.erase(key);
  }
}

void AccessCounter::add(const Instruction& instruction, const Request& request) {
  if (instruction.shared) {
    add_shared(instruction, request);
  } else {
    add_global(instruction, request);
  }
}

void AccessCounter::add_global(const Instruction& instruction, const Request& request) {
  std::vector<uintptr_t> sectors;
  for (uint32_t left = request.lanes; left != 0; left &= left - 1) {
    const uintptr_t first = number(request.addresses[std::countr_zero(left)]);
    for (uintptr_t one = first / 32; one <= (first + instruction.bytes - 1) / 32; ++one) {
      sectors.push_back(one);
    }
  }
  std::sort(sectors.begin(), sectors.end());
  sectors.erase(std::unique(sectors.begin(), sectors.end()), sectors.end());
  AccessCount::Sectors* counted = nullptr;
  const DeviceRange* range = nullptr;
  for (const uintptr_t sector : sectors) {
    const void* const address = reinterpret_cast<const void*>(sector * 32);
    if (range == nullptr || !range->holds(address, 1)) {
      range = nearest_device_range(address);
      counted = &sum_.arrays[range->name];
    }
    ++(instruction.write ? counted->written : counted->read);
  }
}

void AccessCounter::add_shared(const Instruction& instruction, const Request& request) {
  ++sum_.shared_requests;
  const unsigned words = std::max(1U, instruction.bytes / 4);  // a lane's
  const unsigned together = std::max(1U, lanes_per_warp / words);
  for (unsigned begin = 0; begin < lanes_per_warp; begin += together) {
    std::set<uintptr_t> banks[32];  // the different words that each bank has to give
    for (unsigned lane = begin; lane < begin + together; ++lane) {
      if ((request.lanes >> lane & 1U) == 0) continue;
      const uintptr_t first = number(request.addresses[lane]) / 4;
      for (uintptr_t word = first; word < first + words; ++word) banks[word % 32].insert(word);
    }
    size_t passes = 0;
    for (const auto& bank : banks) passes = std::max(passes, bank.size());
    if (passes > 1) sum_.bank_conflicts += passes - 1;
  }
}

}  // namespace bitmill::emulation
