#pragma once
// Counts what the memory accesses of a kernel cost a GPU, and refuses those that are out of bounds.
//
// Accesses come from the hooks (access_hooks.cpp) in kernels that were compiled for them. Lanes run
// one after the other here, so a request of a warp is put together afterwards: the k-th time that
// each lane comes to an instruction. Where lanes leave out turns of a loop, that is a guess.
//
//   global   a request costs the distinct 32-byte sectors that its lanes touch. There is no cache:
//            what is read twice counts twice
//   shared   a request costs its passes: 32 banks of 4 bytes, and a bank gives one word at a time.
//            8-byte accesses go by half warps, 16-byte ones by quarters

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitmill::emulation {

class BlockRunner;

struct AccessCount {
  struct Sectors {
    uint64_t read = 0, written = 0;
  };
  std::map<std::string, Sectors> arrays;  // by the array's name
  uint64_t shared_requests = 0;
  uint64_t bank_conflicts = 0;  // passes beyond those that every request needs

  uint64_t sectors() const;
  void add(const AccessCount& other);
  // One line an array, for the message of a test.
  std::string table() const;
};

// True in a program whose kernels are compiled for the hooks.
bool accesses_are_seen();

// What the kernels that `run` launches access. REQUIRES: accesses_are_seen().
AccessCount count_accesses(const std::function<void()>& run);

// The sectors of an array that is read, or written, once.
constexpr uint64_t sectors_of(uint64_t bytes) { return (bytes + 31) / 32; }

// One block's requests, of the runner that owns it.
class AccessCounter {
 public:
  void begin_block();
  // Adds the block's sum to the one of count_accesses().
  void end_block();

  // An access by the current thread; `code` is where the kernel does it. Fails in the runner where
  // the access is out of bounds, misaligned, or to memory of the host.
  void access(BlockRunner& runner, const void* address, unsigned bytes, bool write,
              const void* code);

 private:
  struct Request {
    uint32_t lanes = 0;
    const void* addresses[32];
  };
  // One instruction, as one warp comes to it.
  struct Instruction {
    unsigned bytes = 0;
    bool write = false, shared = false;
    struct Lane {
      uint64_t epoch = 0;  // its barriers and collectives before
      uint64_t turn = 0;   // of those since
    } last[32];
    std::map<std::pair<uint64_t, uint64_t>, Request> open;  // by epoch and turn
  };

  void note(BlockRunner& runner, const void* address, unsigned bytes, bool write, bool shared,
            const void* code);
  void add_global(const Instruction& instruction, const Request& request);
  void add_shared(const Instruction& instruction, const Request& request);
  void add(const Instruction& instruction, const Request& request);

  bool counting_ = false;
  std::vector<std::unordered_map<const void*, Instruction>> warps_;
  AccessCount sum_;
};

}  // namespace bitmill::emulation
