// What a block costs: this decides what can be tested on the emulator. Prints milliseconds of CPU
// time a block, the best of several launches.

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/grid.hpp"
#include "tests/emulation/block/summing_kernels.hpp"

namespace bitmill::emulation {
namespace {

constexpr unsigned blocks = 8;

template <typename Launch>
void print_best(const char* what, Launch run) {
  double best_ms = 1e9;
  for (int i = 0; i < 300; ++i) {
    const std::clock_t begin = std::clock();
    run();
    const double spent_ms = 1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    best_ms = std::min(best_ms, spent_ms / blocks);
  }
  std::printf("%s: %.4f ms a block\n", what, best_ms);
}

}  // namespace
}  // namespace bitmill::emulation

int main() {
  using namespace bitmill::emulation;
  const DeviceArray<float> x(std::vector<float>(blocks * 256, 1.0F), "x"), out(blocks * 256, "out");
  print_best("ten shuffles, two barriers", [&] {
    bitmill::kernels::launch(sum_block, {{blocks}, {256}}, nullptr, x.data(), out.data());
  });
  print_best("no collective, two accesses", [&] {
    bitmill::kernels::launch(scale, {{blocks}, {256}}, nullptr, x.data(), out.data());
  });
}
