#pragma once
// A fixture for tests that need a GPU, emulated or real: they are skipped where there is none.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "base/thread_pool.hpp"
#include "device/device.hpp"

namespace bitmill::test {

class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const CudaHost host = find_cuda_devices();
    if (host.devices.empty()) GTEST_SKIP() << "no GPU: " << host.problem;
    at::manual_seed(5);
  }

  std::unique_ptr<Device> device_of(at::ScalarType element) {
    return cuda_device({.index = 0, .element = element}, pool_);
  }

  ThreadPool pool_{2, [] { at::set_num_threads(1); }};
};

// The largest difference between two tensors on any devices, as a part of the largest value of the
// second one.
inline double relative_gap(const at::Tensor& tensor, const at::Tensor& expected) {
  const at::Tensor a = tensor.detach().cpu().to(at::kDouble);
  const at::Tensor b = expected.detach().cpu().to(at::kDouble);
  if (!a.isfinite().all().item<bool>()) return INFINITY;
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

}  // namespace bitmill::test
