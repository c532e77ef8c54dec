#pragma once
// Runs the blocks of a grid, in a random order that a seed decides, on one or several operating
// system threads; and says where a launch goes.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace bitmill::emulation {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// What one CUDA thread does: run(arguments.get()).
struct KernelBody {
  void (*run)(const void* arguments) = nullptr;
  std::shared_ptr<const void> arguments;
};

struct Grid {
  Extent blocks;
  Extent threads;           // of a block
  size_t shared_bytes = 0;  // dynamic shared memory of a block
  KernelBody body;
};

struct Settings {
  // Decides the order of blocks, and of the threads of each block. With several workers the order
  // of blocks also depends on time.
  uint64_t seed = 1;
  // Operating system threads that run blocks. Under ThreadSanitizer always one.
  int workers = 1;
};

// Of the process. At first from BITMILL_EMULATION_SEED and BITMILL_EMULATION_WORKERS, where they
// are set. Change it only while no kernel runs.
Settings& settings();

// Runs the grid and returns when all of it is done. KernelFault: the first fault of a block; blocks
// that have not begun are then left out.
void run_grid(const Grid& grid);

// How often threads of the last grid that this thread of the host ran were left before their end.
// 0 for a kernel without collectives: its threads run one after the other, as in a plain loop.
uint64_t switches_of_last_grid();

// The CUDA runtime under the emulator. A program without one runs a grid when it is launched, and
// the launch throws KernelFault. One with it queues the grid and returns what enqueue() says.
class Runtime {
 public:
  virtual ~Runtime() = default;
  // Queues `run` on `stream` (a cudaStream_t). Returns a cudaError_t.
  virtual int enqueue(void* stream, std::function<void()> run) = 0;
  // Where device code finds what the host knows as `pointer`. Called while the launch is made.
  virtual const void* address(const void* pointer) = 0;
  // "is 4 bytes behind the end of allocation 3 ..."; empty for an address that it does not know.
  virtual std::string explain(const void* /*address*/) { return ""; }
  // A kernel of the stream that runs now did what CUDA does not define.
  virtual void kernel_failed(bool illegal_address, const std::string& what) = 0;
};

// Not owned; null takes it away. Set it before the first launch.
void set_runtime(Runtime* runtime);
Runtime* runtime();

// What launch() in kernels/simt.hpp calls: checks the shape as cudaLaunchKernel does, then queues
// or runs the grid. Returns a cudaError_t.
int submit(Grid grid, void* stream);

}  // namespace bitmill::emulation
