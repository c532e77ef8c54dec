#pragma once
// Runs one block at a time on an operating system thread: whose turn it is, who waits, and what is
// wrong when nobody can go on.
//
// A CUDA thread begins on the stack of the one that has just returned, so that a kernel without
// collectives runs as a plain loop. One that has to wait keeps its stack, and another stack goes
// on.

#include <cstdint>
#include <string>
#include <vector>

#include "tests/emulation/block/access_counter.hpp"
#include "tests/emulation/block/cuda_thread.hpp"
#include "tests/emulation/block/grid.hpp"
#include "tests/emulation/block/kernel_fault.hpp"
#include "tests/emulation/block/shared_memory.hpp"
#include "tests/emulation/block/stack.hpp"

namespace bitmill::emulation {

// ThreadSanitizer's events of a launch. The host passes the first before every block, and the
// second when it has run all: so a block comes after what the host did before, and after no other
// block.
struct LaunchEvents {
  alignas(8) char begin = 0;
  alignas(8) char end = 0;
};

class BlockRunner {
 public:
  // The one of this operating system thread, made at the first call.
  static BlockRunner& of_this_thread();
  // Null where no kernel runs. Never inlined, so that a flow of control may ask again.
  static BlockRunner* running();

  // `number` counts the blocks of the grid, x first. Throws KernelFault; the block's threads are
  // then abandoned where they are.
  void run(const Grid& grid, uint64_t number, LaunchEvents& events);
  // Of all blocks since the last call.
  uint64_t take_switches();

  CudaThread& current() { return *current_; }
  const Grid& grid() const { return *grid_; }
  Index block() const { return block_; }
  BlockBarrier& barrier() { return barrier_; }
  SharedMemory& shared() { return shared_; }
  AccessCounter& accesses() { return accesses_; }
  const StackPool& stacks() const { return stacks_; }
  unsigned threads() const { return count_; }
  // A thread that has returned; null when there is none.
  const CudaThread* one_that_returned() const;

  // The current thread stands still until somebody wakes it.
  void wait(const char* operation, const std::source_location& site);
  // These lanes of the warp can go on.
  void wake(Warp& warp, uint32_t lanes) {
    warp.runnable |= lanes;
    if (warp.runnable != 0) ready_warps_ |= 1U << warp.number;
  }
  // Everybody but the current thread can go on.
  void wake_all_others();

  // "block (1,0,0), thread (5,0,0)", of the current thread.
  std::string current_name() const;
  // Ends the block: run() throws KernelFault with these words after the name of the current thread.
  [[noreturn]] void fail(const std::string& what, bool illegal_address = false);

 private:
  BlockRunner();

  static void stack_entry();
  void prepare(const Grid& grid, uint64_t number);
  void prepare_warps();
  void give_fibers();
  void clean_up();
  [[noreturn]] void run_threads();
  void finish_thread();
  CudaThread* take_runnable();  // REQUIRES: ready_warps_ != 0
  void begin(CudaThread& thread, Resume& from);
  [[noreturn]] void back_to_host();
  std::string names_of(const std::vector<unsigned>& numbers) const;
  std::string deadlock_words() const;

  StackPool stacks_;
  SharedMemory shared_;
  AccessCounter accesses_;
  std::vector<CudaThread> threads_;
  std::vector<Warp> warps_;
  BlockBarrier barrier_;

  const Grid* grid_ = nullptr;
  Index block_;
  unsigned count_ = 0;
  unsigned returned_ = 0;
  CudaThread* current_ = nullptr;
  uint32_t ready_warps_ = 0;  // those with runnable lanes
  uint64_t random_ = 0;
  uint64_t switches_ = 0;

  Resume host_ = nullptr;
  void* host_fiber_ = nullptr;
  LaunchEvents* events_ = nullptr;
  // ThreadSanitizer's fibers of the threads. Costly, so they are used again; but a fiber's work is
  // ordered, so two blocks one after the other have different ones.
  std::vector<void*> fibers_[2];
  unsigned fiber_set_ = 0;
  std::string fault_;
  bool illegal_address_ = false;
};

// "(1,0,0)"
std::string words(Index index);
// "kernels/a.cu:12"
std::string words(const std::source_location& site);

}  // namespace bitmill::emulation
