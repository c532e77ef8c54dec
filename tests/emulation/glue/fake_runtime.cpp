// Joins the emulator of blocks to the emulated runtime: kernels go onto streams, and find their
// memory.

#include <string>
#include <utility>

#include "emulation/runtime/faults.hpp"
#include "emulation/runtime/launch.hpp"
#include "tests/emulation/block/grid.hpp"

namespace emulation = bitmill::emulation;
namespace fake_cuda = bitmill::fake_cuda;

namespace {

class FakeRuntime final : public emulation::Runtime {
 public:
  int enqueue(void* stream, std::function<void()> run) override {
    return fake_cuda::launch(static_cast<cudaStream_t>(stream), std::move(run));
  }
  const void* address(const void* pointer) override { return fake_cuda::kernel_address(pointer); }
  std::string explain(const void* address) override { return fake_cuda::explain(address); }
  void kernel_failed(bool illegal_address, const std::string& what) override {
    fake_cuda::kernel_failed(illegal_address ? cudaErrorIllegalAddress : cudaErrorLaunchFailure,
                             what.c_str());
  }
};

}  // namespace

// Joined before main(). The linker is told to look for this name (CMakeLists.txt).
extern "C" const bool bitmill_emulation_glue;
const bool bitmill_emulation_glue = [] {
  static FakeRuntime runtime;
  emulation::set_runtime(&runtime);
  return true;
}();
