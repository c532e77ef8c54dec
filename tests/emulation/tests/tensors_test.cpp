// libtorch's own CUDA tensors, allocator, streams and events over the emulated runtime.

#include <ATen/ATen.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

const at::Device device("cuda:0");

bool caching() { return std::getenv("PYTORCH_NO_CUDA_MEMORY_CACHING") == nullptr; }

// Whether what nobody waits for has not happened yet; else it may have.
bool streams_rest() {
  const char* const delay = std::getenv("BITMILL_EMULATION_DELAY_US");
  return delay != nullptr && std::atoll(delay) >= 10000;
}

void expect_close(const at::Tensor& on_device, const at::Tensor& on_host) {
  EXPECT_TRUE(on_device.is_cuda());
  EXPECT_TRUE(at::allclose(on_device.cpu(), on_host, 1e-5, 1e-6));
}

template <typename F>
std::string thrown_by(F work) {
  try {
    work();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

TEST(EmulatedTensors, LibrariesAreTheStandIns) {
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "bitmill emulation of sm_90");
}

TEST(EmulatedTensors, GoToTheDeviceAndBack) {
  const at::Tensor a = at::randn({8, 16});
  for (const at::ScalarType type :
       {at::kFloat, at::kHalf, at::kBFloat16, at::kFloat8_e4m3fn, at::kInt, at::kLong, at::kBool}) {
    const at::Tensor host = a.to(type), there = host.to(device);
    EXPECT_EQ(there.device(), device);
    EXPECT_TRUE(at::equal(there.cpu().to(at::kFloat), host.to(at::kFloat))) << type;
  }
}

TEST(EmulatedTensors, OperatorsGiveTheResultsOfTheCpu) {
  const at::Tensor a = at::randn({8, 16}), b = at::randn({16, 4}), x = a.to(device),
                   y = b.to(device);
  expect_close(x.mm(y), a.mm(b));
  expect_close(x.softmax(1), a.softmax(1));
  expect_close(at::layer_norm(x, {16}), at::layer_norm(a, {16}));
  expect_close(x.t().contiguous(), a.t());
  expect_close(x.view({4, 32}).sum(1), a.view({4, 32}).sum(1));
  expect_close(x.slice(1, 3, 9).mul(2), a.slice(1, 3, 9).mul(2));
  expect_close(at::cat({x, x}), at::cat({a, a}));
  expect_close(at::where(x > 0, x, at::zeros_like(x)), at::where(a > 0, a, at::zeros_like(a)));
  EXPECT_FLOAT_EQ(x.max().item<float>(), a.max().item<float>());
}

TEST(EmulatedTensors, OperatorsInPlaceChangeViewsToo) {
  at::Tensor x = at::zeros({4, 4}, device);
  x.select(0, 1).add_(3);
  x.index_put_({at::arange(2, at::device(device).dtype(at::kLong))}, at::ones({4}, device));
  at::Tensor wanted = at::zeros({4, 4});
  wanted.slice(0, 0, 2).fill_(1);
  expect_close(x, wanted);
}

std::vector<at::Tensor> gradients_on(at::Device where) {
  at::manual_seed(2);
  std::vector<at::Tensor> inputs;
  for (int i = 0; i < 3; ++i) {
    inputs.push_back(at::randn({2, 4, 5, 8}).to(where).requires_grad_());
  }
  inputs.push_back(at::randn({8, 8}).to(where).requires_grad_());
  inputs.push_back(at::ones({8}).to(where).requires_grad_());
  const at::Tensor attended =
      at::scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], {}, 0.0, true);
  const at::Tensor out = at::layer_norm(attended.matmul(inputs[3]), {8}, inputs[4]);
  at::silu(out).pow(2).mean().backward();
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& input : inputs) gradients.push_back(input.grad());
  return gradients;
}

TEST(EmulatedTensors, AutogradGoesBackOnTheDevice) {
  const std::vector<at::Tensor> there = gradients_on(device), here = gradients_on(at::kCPU);
  for (size_t i = 0; i < there.size(); ++i) expect_close(there[i], here[i]);
}

TEST(EmulatedTensors, DeviceAndHostTensorsDoNotMix) {
  const at::Tensor a = at::randn({4, 4}), x = a.to(device);
  const std::string words = "Expected all tensors to be on the same device";
  EXPECT_NE(thrown_by([&] { x.mm(a); }).find(words), std::string::npos);
  EXPECT_NE(thrown_by([&] { x.mm(x.to("cuda:1")); }).find(words), std::string::npos);
  EXPECT_NE(thrown_by([&] { at::cat({x, a}); }).find(words), std::string::npos);
  expect_close(x.add(at::scalar_tensor(2)), a.add(2));  // a scalar may
}

TEST(EmulatedTensors, GoFromOneDeviceToAnotherInOrder) {
  const at::Tensor a = at::randn({1 << 12}), x = a.to(device);
  const at::Tensor there = x.mul(2).to("cuda:1");
  EXPECT_EQ(there.device().index(), 1);
  EXPECT_TRUE(at::allclose(there.cpu(), a.mul(2)));
}

TEST(EmulatedTensors, FreshMemoryIsNotANumber) {
  c10::cuda::CUDACachingAllocator::emptyCache();
  EXPECT_TRUE(at::empty({1 << 20}, device).isnan().all().item<bool>());
}

TEST(EmulatedTensors, TooLargeOnesAreLibtorchsOwnError) {
  const std::string text = thrown_by([] { at::empty({int64_t{1} << 40}, device); });
  const char* const words = caching() ? "CUDA out of memory" : "CUDA error: out of memory";
  EXPECT_NE(text.find(words), std::string::npos) << text;
}

TEST(EmulatedTensors, HostThatReadsThemDies) {
  const at::Tensor x = at::ones({4}, device);
  EXPECT_EXIT(
      {
        const volatile float first = *x.const_data_ptr<float>();
        (void)first;
      },
      testing::KilledBySignal(SIGSEGV), "host code touched device memory");
}

// The sum on the current stream of what a side stream copies.
float sum_of_side_copy(bool with_event) {
  const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(false, 0);
  const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream();
  const at::Tensor host = at::full({1 << 12}, 3.0).pin_memory();
  at::Tensor target = at::zeros({1 << 12}, device);
  C10_CUDA_CHECK(cudaStreamSynchronize(current.stream()));
  {
    const c10::cuda::CUDAStreamGuard guard(side);
    target.copy_(host, true);
    if (with_event) {
      c10::cuda::CUDAEvent event;
      event.record(side);
      event.block(current);
    }
  }
  const float sum = target.sum().item<float>();
  C10_CUDA_CHECK(cudaDeviceSynchronize());
  return sum;
}

TEST(EmulatedTensors, CopyOnAnotherStreamNeedsAnEvent) {
  EXPECT_EQ(sum_of_side_copy(true), 3.0F * (1 << 12));
  if (streams_rest()) {
    EXPECT_NE(sum_of_side_copy(false), 3.0F * (1 << 12));
  }
}

TEST(EmulatedTensors, PinnedOnesAreReadLate) {
  at::Tensor host = at::full({1024}, 1.0).pin_memory();
  EXPECT_TRUE(host.is_pinned());
  EXPECT_FALSE(at::ones({4}).is_pinned());
  at::Tensor target = at::zeros({1024}, device);
  C10_CUDA_CHECK(cudaDeviceSynchronize());
  target.copy_(host, true);
  host.fill_(2);
  const float sum = target.sum().item<float>();
  if (streams_rest()) {
    EXPECT_EQ(sum, 2048.0F);
  }
}

TEST(EmulatedTensors, PageableOnesMayBeChangedAtOnce) {
  at::Tensor host = at::full({1024}, 1.0);
  at::Tensor target = at::zeros({1024}, device);
  target.copy_(host, true);
  host.fill_(2);
  EXPECT_EQ(target.sum().item<float>(), 1024.0F);
}

// Memory that a side stream still reads is not given out again before that, once it is told.
TEST(EmulatedTensors, RecordedStreamsKeepMemory) {
  const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(false, 0);
  const at::Tensor target = at::zeros({1 << 12}, at::kFloat).pin_memory();
  {
    at::Tensor source = at::full({1 << 12}, 5.0, device);
    C10_CUDA_CHECK(cudaDeviceSynchronize());
    const c10::cuda::CUDAStreamGuard guard(side);
    at::Tensor out = target;
    out.copy_(source, true);
    source.record_stream(side.unwrap());
  }
  const at::Tensor next = at::full({1 << 12}, 7.0, device);
  C10_CUDA_CHECK(cudaDeviceSynchronize());
  EXPECT_EQ(target.sum().item<float>(), 5.0F * (1 << 12));
}

TEST(EmulatedTensors, CachingAllocatorIsLibtorchsOwn) {
  using c10::cuda::CUDACachingAllocator::getDeviceStats;
  const int64_t before = getDeviceStats(0).allocated_bytes[0].current;
  const at::Tensor x = at::zeros({1 << 20}, device);
  const int64_t after = getDeviceStats(0).allocated_bytes[0].current;
  EXPECT_EQ(after - before, caching() ? 4 << 20 : 0);
}

}  // namespace
