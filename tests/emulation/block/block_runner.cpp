#include "tests/emulation/block/block_runner.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <utility>

#include "tests/emulation/block/collectives.hpp"
#include "tests/emulation/block/illegal_access.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {
namespace {

thread_local BlockRunner* running_here = nullptr;

// splitmix64: one step, and a good seed from nearly equal numbers.
uint64_t next_random(uint64_t& state) {
  uint64_t mixed = state += 0x9E3779B97F4A7C15;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
  return mixed ^ (mixed >> 31);
}

// One of the bits of `mask`, which is not 0: the first from a random place on.
unsigned random_bit(uint32_t mask, uint32_t draw) {
  const unsigned from = draw % 32;
  return (static_cast<unsigned>(std::countr_zero(std::rotr(mask, static_cast<int>(from)))) + from) %
         32;
}

Index index_in(uint64_t number, const Extent& extent) {
  const uint64_t row = number / extent.x;
  return {static_cast<unsigned>(number % extent.x), static_cast<unsigned>(row % extent.y),
          static_cast<unsigned>(row / extent.y)};
}

}  // namespace

#ifndef BITMILL_TSAN_FIBERS
void tsan::silence_hooks(int by) {
  if (running_here != nullptr) running_here->current().silent += by;
}
#endif

std::string words(Index index) {
  std::string text(1, '(');  // "(" + ... : g++ 12 warns of what it inlines there
  text += std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z);
  return text + ")";
}

std::string words(const std::source_location& site) {
  const std::string file = site.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line());
}

BlockRunner::BlockRunner() : stacks_(&BlockRunner::stack_entry) { catch_illegal_accesses(); }

BlockRunner& BlockRunner::of_this_thread() {
  thread_local BlockRunner runner;
  return runner;
}

[[gnu::noinline]] BlockRunner* BlockRunner::running() { return running_here; }

uint64_t BlockRunner::take_switches() { return std::exchange(switches_, 0); }

void BlockRunner::prepare(const Grid& grid, uint64_t number) {
  grid_ = &grid;
  block_ = index_in(number, grid.blocks);
  count_ = static_cast<unsigned>(grid.threads.count());
  random_ = settings().seed * 0x2545F4914F6CDD1D + number;
  returned_ = 0;
  fault_.clear();
  illegal_address_ = false;
  barrier_.arrived = 0;
  barrier_.votes = 0;
  stacks_.reset();
  shared_.begin_block();
  // Nothing of the emulator's own may order a block after another.
  if (tsan::on) barrier_.order = std::make_unique<char[]>(16);
  if (tsan::on) stacks_.forget_contents();
  prepare_warps();
  for (unsigned i = 0; i < count_; ++i) {
    CudaThread& thread = threads_[i];
    thread.resume = nullptr;
    thread.warp = &warps_[i / lanes_per_warp];
    thread.lane = i % lanes_per_warp;
    thread.number = i;
    thread.epoch = 1;
    thread.index = index_in(i, grid.threads);
    thread.returned = false;
    thread.silent = 0;
    thread.copies.clear();
    thread.copy_group = 0;
  }
}

void BlockRunner::prepare_warps() {
  const unsigned warps = (count_ + lanes_per_warp - 1) / lanes_per_warp;
  if (threads_.size() < count_) threads_.resize(count_);
  if (warps_.size() < warps) warps_.resize(warps);
  for (unsigned i = 0; i < warps; ++i) {
    const unsigned lanes = std::min(lanes_per_warp, count_ - i * lanes_per_warp);
    warps_[i].lanes = &threads_[i * lanes_per_warp];
    warps_[i].number = i;
    warps_[i].alive = static_cast<uint32_t>((uint64_t{1} << lanes) - 1);
    warps_[i].runnable = warps_[i].alive;
    warps_[i].used = 0;
    if (tsan::on) warps_[i].meetings.clear();
  }
  ready_warps_ = static_cast<uint32_t>((uint64_t{1} << warps) - 1);
}

void BlockRunner::give_fibers() {
  fiber_set_ ^= 1;
  std::vector<void*>& fibers = fibers_[fiber_set_];
  while (fibers.size() < count_) fibers.push_back(tsan::make_fiber());
  for (unsigned i = 0; i < count_; ++i) threads_[i].fiber = fibers[i];
}

void BlockRunner::clean_up() {
  current_ = nullptr;
  if (fault_.empty()) return;
  for (auto& fibers : fibers_) {  // those that were left in the middle are of no use
    for (void* const fiber : fibers) tsan::end_fiber(fiber);
    fibers.clear();
  }
}

void BlockRunner::run(const Grid& grid, uint64_t number, LaunchEvents& events) {
  prepare(grid, number);
  give_fibers();
  events_ = &events;
  tsan::release(&events.begin);
  host_fiber_ = tsan::this_fiber();
  accesses_.begin_block();
  running_here = this;
  begin(*take_runnable(), host_);
  running_here = nullptr;
  accesses_.end_block();
  clean_up();
  if (!fault_.empty()) throw KernelFault(fault_, illegal_address_);
}

// Any lane that can go on, now and then of another warp: often enough to mix warps, seldom enough
// that the stacks of one stay in the cache.
CudaThread* BlockRunner::take_runnable() {
  const auto draw = static_cast<uint32_t>(next_random(random_) >> 32);
  unsigned number = current_ == nullptr ? 0 : current_->warp->number;
  if ((ready_warps_ >> number & 1U) == 0 || draw % 8 == 0) {
    number = random_bit(ready_warps_, draw >> 3);
  }
  Warp& warp = warps_[number];
  const unsigned lane = random_bit(warp.runnable, draw >> 8);
  warp.runnable &= ~(1U << lane);
  if (warp.runnable == 0) ready_warps_ &= ~(1U << number);
  return warp.lanes + lane;
}

// Leaves `from`; `thread` goes on, or begins on a stack of its own.
void BlockRunner::begin(CudaThread& thread, Resume& from) {
  current_ = &thread;
  if (thread.resume == nullptr) {
    const tsan::Quiet quiet;
    thread.stack = stacks_.take();
    thread.resume = stacks_.begin_on(*thread.stack);
  }
  tsan::switch_to(thread.fiber);
  switch_stack(from, thread.resume);
}

void BlockRunner::stack_entry() { running_here->run_threads(); }

// On a stack: runs the current thread, then others that have not begun, as long as luck chooses
// such.
void BlockRunner::run_threads() {
  for (;;) {
    tsan::acquire(&events_->begin);
    grid_->body.run(grid_->body.arguments.get());
    finish_thread();
    if (ready_warps_ == 0) {
      if (returned_ < count_) fault_ = deadlock_words();
      back_to_host();
    }
    CudaThread* const next = take_runnable();
    Stack* const here = current_->stack;
    // Under ThreadSanitizer no stack is used twice: it would take two threads' frames for one.
    if (next->resume == nullptr && !tsan::on) {
      next->stack = here;
      current_ = next;
      continue;
    }
    if (!tsan::on) stacks_.give_back(here);
    Resume gone;
    begin(*next, gone);
  }
}

void BlockRunner::finish_thread() {
  const tsan::Quiet quiet;
  CudaThread& thread = *current_;
  if (!thread.copies.empty()) {
    fail("returns before a cp.async of its own has arrived: wait_copies() is missing");
  }
  if (barrier_.arrived > 0) {
    const CudaThread& other = *barrier_.first;
    fail("divergent barrier: returns while thread " + words(other.index) + " is at " +
         other.waits_in + ", " + words(other.site));
  }
  thread.returned = true;
  ++returned_;
  thread.warp->alive &= ~(1U << thread.lane);
  complete_meetings(*this, *thread.warp);
  tsan::release(&events_->end);
}

void BlockRunner::wait(const char* operation, const std::source_location& site) {
  CudaThread& thread = *current_;
  thread.waits_in = operation;
  thread.site = site;
  if (ready_warps_ == 0) {
    fault_ = deadlock_words();
    back_to_host();
  }
  ++switches_;
  begin(*take_runnable(), thread.resume);
}

void BlockRunner::wake_all_others() {
  for (unsigned i = 0; i * lanes_per_warp < count_; ++i) {
    const bool mine = current_->warp == &warps_[i];
    wake(warps_[i], mine ? warps_[i].alive & ~(1U << current_->lane) : warps_[i].alive);
  }
}

const CudaThread* BlockRunner::one_that_returned() const {
  if (returned_ == 0) return nullptr;
  const auto end = threads_.begin() + count_;
  const auto found = std::find_if(threads_.begin(), end, [](const auto& t) { return t.returned; });
  return found == end ? nullptr : &*found;
}

std::string BlockRunner::current_name() const {
  return "block " + words(block_) + ", thread " + words(current_->index);
}

void BlockRunner::fail(const std::string& what, bool illegal_address) {
  const tsan::Quiet quiet;
  fault_ = current_name() + ": " + what;
  illegal_address_ = illegal_address;
  back_to_host();
}

void BlockRunner::back_to_host() {
  tsan::switch_to(host_fiber_);
  Resume gone;
  switch_stack(gone, host_);
  __builtin_unreachable();
}

// "(0,0,0) to (15,0,0), (32,0,0)" of numbers in ascending order.
std::string BlockRunner::names_of(const std::vector<unsigned>& numbers) const {
  std::string names;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t first = i;
    while (i + 1 < numbers.size() && numbers[i + 1] == numbers[i] + 1) ++i;
    names += (names.empty() ? "" : ", ") + words(threads_[numbers[first]].index);
    if (i > first) names += " to " + words(threads_[numbers[i]].index);
  }
  return names;
}

// Every thread that waits, those of one place together.
std::string BlockRunner::deadlock_words() const {
  const tsan::Quiet quiet;
  std::map<std::string, std::vector<unsigned>> places;
  for (unsigned i = 0; i < count_; ++i) {
    const CudaThread& thread = threads_[i];
    places[thread.returned
               ? "have returned"
               : std::string("wait in ") + thread.waits_in + " at " + words(thread.site)]
        .push_back(i);
  }
  std::string all;
  for (const auto& [place, numbers] : places) {
    all += (all.empty() ? " threads " : "; threads ") + names_of(numbers) + " " + place;
  }
  return "block " + words(block_) + ": deadlock:" + all;
}

}  // namespace bitmill::emulation
