#include "tests/emulation/block/stack.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <system_error>

#if !defined(__x86_64__) && !defined(BITMILL_PORTABLE_SWITCH)
#define BITMILL_PORTABLE_SWITCH
#endif
#ifdef BITMILL_PORTABLE_SWITCH
#include <ucontext.h>
#endif

namespace bitmill::emulation {
namespace {

constexpr size_t page = 4096;
constexpr size_t stack_bytes = 60 * 1024;
// Below every stack. More than a page: one frame may skip that, as the dynamic linker's does where
// it saves the registers of a processor with large ones.
constexpr size_t guard_bytes = 68 * 1024;
constexpr size_t slot_bytes = guard_bytes + stack_bytes;
constexpr size_t most_stacks = 1024;  // the threads of CUDA's largest block
// Stacks are a multiple of 4 KiB apart, so without an offset the same frame of every thread would
// fall into the same set of the cache.
constexpr size_t colours = 13, colour_bytes = 5 * 64;

void require(bool done, const char* call) {
  if (!done) throw std::system_error(errno, std::generic_category(), call);
}

}  // namespace

#ifdef BITMILL_PORTABLE_SWITCH

bool portable_switch() { return true; }

void switch_stack(Resume& from, Resume to) {
  ucontext_t here;
  from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

Resume StackPool::begin_on(Stack& stack) const {
  auto* context = static_cast<ucontext_t*>(stack.context);
  getcontext(context);
  context->uc_stack.ss_sp = stack.begin;
  context->uc_stack.ss_size = stack.end - stack.begin;
  context->uc_link = nullptr;
  makecontext(context, entry_, 0);
  return context;
}

#else

bool portable_switch() { return false; }

// System V ABI: a call keeps rbx, rbp, r12 to r15 and the stack pointer. Kernels leave the control
// words of the floating point units alone, so these are not switched.
extern "C" void bitmill_switch_stack(Resume* from, Resume to);
asm(R"(
.text
.p2align 4
.type bitmill_switch_stack, @function
bitmill_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size bitmill_switch_stack, .-bitmill_switch_stack
)");

void switch_stack(Resume& from, Resume to) { bitmill_switch_stack(&from, to); }

Resume StackPool::begin_on(Stack& stack) const {
  // From the top: the return address of the entry (none), then what the switch takes off: the
  // address of the entry and six registers. The entry finds its stack aligned as after a call.
  auto* top = reinterpret_cast<uintptr_t*>(stack.end) - 1;
  *top = 0;
  *--top = reinterpret_cast<uintptr_t>(entry_);
  for (int i = 0; i < 6; ++i) *--top = 0;
  return top;
}

#endif

StackPool::StackPool(void (*entry)())
    : entry_(entry),
      region_(static_cast<char*>(mmap(nullptr, most_stacks * slot_bytes, PROT_NONE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
  require(region_ != MAP_FAILED, "mmap");
}

StackPool::~StackPool() {
  for (Stack* stack : all_) {
#ifdef BITMILL_PORTABLE_SWITCH
    delete static_cast<ucontext_t*>(stack->context);
#endif
    delete stack;
  }
  munmap(region_, most_stacks * slot_bytes);
}

void StackPool::make_stack() {
  if (all_.size() == most_stacks) throw std::bad_alloc();
  char* const begin = region_ + all_.size() * slot_bytes + guard_bytes;
  require(mprotect(begin, stack_bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
  char* const end = begin + stack_bytes - all_.size() % colours * colour_bytes;
  all_.push_back(new Stack{begin, end, nullptr});
#ifdef BITMILL_PORTABLE_SWITCH
  all_.back()->context = new ucontext_t;
#endif
  free_.push_back(all_.back());
}

Stack* StackPool::take() {
  if (free_.empty()) make_stack();
  Stack* stack = free_.back();
  free_.pop_back();
  return stack;
}

void StackPool::reset() { free_.assign(all_.rbegin(), all_.rend()); }

void StackPool::forget_contents() {
  for (const Stack* stack : all_) {
    char* const top = stack->begin + stack_bytes;
    unsigned char touched[stack_bytes / page];
    require(mincore(stack->begin, stack_bytes, touched) == 0, "mincore");
    size_t first = 0;
    while (first < sizeof touched && (touched[first] & 1) == 0) ++first;
    char* const begin = stack->begin + first * page;
    if (begin == top) continue;
    void* const fresh = mmap(begin, top - begin, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    require(fresh == begin, "mmap");
  }
}

const Stack* StackPool::find(const void* address) const {
  for (const Stack* stack : all_) {
    if (address >= stack->begin - guard_bytes && address < stack->end) return stack;
  }
  return nullptr;
}

}  // namespace bitmill::emulation
