#pragma once
// Stacks for the CUDA threads of a block, and the switch from one stack to another.
//
// On x86-64 the switch is hand-written: it makes no system call and saves only what a function call
// must keep. On other processors, or with BITMILL_PORTABLE_SWITCH, it is swapcontext(), which makes
// two system calls each time; portable_switch() says which one this build has.

#include <cstddef>
#include <vector>

namespace bitmill::emulation {

// Where a suspended flow of control goes on. Empty: it has not begun.
using Resume = void*;

// Leaves the running flow of control in `from` and goes on at `to`. Returns when somebody switches
// to `from`.
void switch_stack(Resume& from, Resume to);

// True where the switch makes system calls.
bool portable_switch();

struct Stack {
  char* begin = nullptr;  // above its guard: an overflow faults
  char* end = nullptr;    // the stack grows down from here
  Resume context = nullptr;

  bool contains(const void* address) const { return address >= begin && address < end; }
};

// A pool for one operating system thread; stacks are made when they are needed and kept until the
// pool goes.
class StackPool {
 public:
  // `entry` runs on a stack that begins, and never returns.
  explicit StackPool(void (*entry)());
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  Stack* take();
  void give_back(Stack* stack) { free_.push_back(stack); }
  // Everything that was taken is free again, whatever ran there.
  void reset();
  // New pages for those that were touched: ThreadSanitizer forgets who wrote the old ones.
  void forget_contents();
  // A place on `stack` at which `entry` begins.
  Resume begin_on(Stack& stack) const;

  // The stack with `address` in it or in its guard; null when there is none.
  const Stack* find(const void* address) const;

 private:
  void make_stack();

  void (*entry_)();
  char* region_;
  std::vector<Stack*> all_;
  std::vector<Stack*> free_;
};

}  // namespace bitmill::emulation
