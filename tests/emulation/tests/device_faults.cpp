// Uses a device as bitmill does, so that a test can let a call fail on the way:
//
//   device_faults
//
// Prints what went wrong, behind the kind of error, and ends with status 4; 0 when nothing did.

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include <cstdio>
#include <functional>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "device/device.hpp"
#include "device/queue.hpp"
#include "kernels/add_table.hpp"

namespace {

using namespace bitmill;

constexpr int told = 4;

void use_device() {
  ThreadPool pool(2);
  const auto device = cuda_device({.index = 0, .element = at::kFloat}, pool);
  const at::Tensor ones = device->bring(at::ones({2, 8}));
  const at::Tensor sums = device->bring(at::ones({8}));
  device->for_units(1, [&](int64_t) {
    kernels::AddTables task{};
    task.tables[0] = {ones.const_data_ptr<float>(), sums.mutable_data_ptr<float>(), 2, 8};
    task.count = 1;
    check_cuda(kernels::add_tables(task, stream_of(sums)), "add_tables");
  });
  device->finish();
  const float sum = device->fetch(sums).sum().item<float>();
  std::printf("identity %s\n", device->identity().c_str());
  std::printf("%s: 8 x (1 + 1) = %g\n", device->description().c_str(), sum);
}

}  // namespace

int main() {
  try {
    use_device();
    return 0;
  } catch (const DeviceLostError& error) {
    std::printf("DeviceLostError: %s\n", error.what());
  } catch (const DeviceError& error) {
    std::printf("DeviceError: %s\n", error.what());
  } catch (const std::exception& error) {
    std::printf("another error: %s\n", error.what());
  }
  return told;
}
