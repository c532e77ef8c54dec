// How fast the kernels move memory on a GPU: bytes that must be moved, over the time between two
// events. Prints a line a kernel, the slowest one last: launch/gpu-check.sh shows it.

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/event_timer.hpp"
#include "bench/step_kernels.hpp"
#include "gpu/device_array.hpp"
#include "kernels/pack_signs.hpp"

namespace bitmill {
namespace {

// As many rows as LLaMA-2 7B's widest linear, and four times its columns: 721 MB in float32, twelve
// times the L2 of an H200 (60 MB).
KernelSpeed pack_signs_speed(double copy_gb_per_s) {
  const int64_t rows = 11008, cols = 16384, low_cols = cols * 4 / 5;
  std::vector<int32_t> columns;
  for (int64_t i = 0; i < low_cols; ++i) columns.push_back(static_cast<int32_t>(i * 5 / 4));
  const int64_t words = rows * packed::words_for(low_cols, packed::bits_per_word);
  const DeviceArray<float> weight(std::vector<float>(rows * cols, 0.5F));
  const DeviceArray<float> mean(std::vector<float>(rows, 0.25F));
  const DeviceArray<int32_t> low(columns);
  const DeviceArray<uint32_t> out(std::vector<uint32_t>(words, 0));
  const kernels::PackSigns task{weight.data(), mean.data(), low.data(), out.data(),
                                rows,          cols,        low_cols};
  const double ms =
      median_ms([&] { cuda_check(kernels::pack_signs(task, nullptr), "pack_signs"); });
  const double bytes = static_cast<double>(rows * cols + rows + low_cols + words) * 4;
  const double gb_per_s = bytes / ms / 1e6;
  return {"pack_signs", ms, gb_per_s, gb_per_s / copy_gb_per_s};
}

// What the device copies from itself to itself, read and written.
double copy_gb_per_s() {
  const size_t count = size_t{256} << 20;
  const DeviceArray<float> from(std::vector<float>(count, 1.0F)),
      to(std::vector<float>(count, 0.0F));
  const double ms = median_ms([&] {
    cuda_check(
        cudaMemcpyAsync(to.data(), from.data(), count * 4, cudaMemcpyDeviceToDevice, nullptr),
        "cudaMemcpyAsync");
  });
  return static_cast<double>(count) * 8 / ms / 1e6;
}

// What launch/gpu-check.sh shows: the kernels below the goal, or the slowest one.
std::string verdict(const std::vector<KernelSpeed>& all) {
  constexpr double goal = 0.85;
  const auto share = [](const KernelSpeed& one) {
    return fmt::format("{} {:.2f} of a copy's speed", one.name, one.share);
  };
  std::vector<std::string> slow;
  for (const KernelSpeed& one : all) {
    if (one.share < goal) slow.push_back(share(one));
  }
  if (slow.empty()) {
    return fmt::format("least of {}: {} (goal {})", all.size(),
                       share(*std::ranges::min_element(all, {}, &KernelSpeed::share)), goal);
  }
  return fmt::format("{} of {} below the goal {}: {}", slow.size(), all.size(), goal,
                     fmt::join(slow, ", "));
}

int run() {
  if (const std::string reason = why_no_gpu(); !reason.empty()) {
    std::printf("%s\n", reason.c_str());
    return 1;
  }
  const double copy = copy_gb_per_s();
  std::printf("copy %.0f GB/s\n", copy);
  std::vector<KernelSpeed> all = step_kernel_speeds(copy);
  all.push_back(pack_signs_speed(copy));
  for (const KernelSpeed& one : all) {
    std::printf("%s %.3f ms, %.0f GB/s, %.2f of a copy's\n", one.name.c_str(), one.ms, one.gb_per_s,
                one.share);
  }
  std::printf("%s\n", verdict(all).c_str());
  return 0;
}

}  // namespace
}  // namespace bitmill

int main() {
  try {
    return bitmill::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_kernels: %s\n", error.what());
    return 1;
  }
}
