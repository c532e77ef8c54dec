// One GPU, through CUDA's runtime and the parts of libtorch that manage memory and streams.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <string_view>

#include <mutex>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/pieces.hpp"
#include "device/cuda_arrival.hpp"
#include "device/cuda_devices.hpp"
#include "device/cuda_fault.hpp"
#include "device/cuda_pinned_ring.hpp"
#include "device/device.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

// While one buffer is filled or emptied, the others are under way. 16 MiB are 0.3 ms on a GPU's
// link (55 GB/s): long beside what starting a copy costs, a few microseconds.
constexpr int ring_buffers = 4;
constexpr int64_t ring_buffer_bytes = int64_t{16} << 20;

// DeviceMemory::reserve_bytes: a part for what grows with a GPU (gaps between tensors), and a part
// for what does not (libraries, workspaces of at most 32 MiB). Estimates: never tried on a GPU.
constexpr int64_t reserve_part = 32;
constexpr int64_t fixed_reserve_bytes = int64_t{256} << 20;

// To be raised with every change of kernels/, or of the order of products and kernels, that changes
// the bits of a result: a run that an earlier revision began must not go on with this one. Revision
// 1 had no number: softmax and rotation were not yet kernels of ours.
constexpr int arithmetic_revision = 2;

std::string_view element_word(at::ScalarType type) {
  return type == at::kBFloat16 ? "bfloat16" : "float32";
}

cudaDeviceProp properties_of(int index) {
  cudaDeviceProp device;
  check_cuda(cudaGetDeviceProperties(&device, index), "cudaGetDeviceProperties");
  return device;
}

// "GPU-8a9c52ab-0f27-4b38-b9c4-2d2f0f3ac1de"
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    const bool begins_group = i == 0 || (i >= 4 && i <= 10 && i % 2 == 0);
    text += fmt::format("{}{:02x}", begins_group ? "-" : "", static_cast<uint8_t>(uuid.bytes[i]));
  }
  return text;
}

class CudaDevice final : public Device {
 public:
  // REQUIRES: the device was tried out.
  CudaDevice(const CudaWish& wish, ThreadPool& pool)
      : pool_(pool),
        device_(at::kCUDA, static_cast<c10::DeviceIndex>(wish.index)),
        element_(wish.element),
        properties_(properties_of(wish.index)),
        ring_(pool, ring_buffers, ring_buffer_bytes) {
    c10::cuda::CUDACachingAllocator::resetPeakStats(device_.index());
  }

  at::Device torch() const override { return device_; }
  at::ScalarType element() const override { return element_; }
  at::ScalarType operand() const override { return element(); }
  ThreadPool& host() const override { return pool_; }

  int lanes() const override { return 1; }
  void for_units(int64_t count, const std::function<void(int64_t)>& unit) const override {
    with_device_errors([&] {
      for (int64_t i = 0; i < count; ++i) unit(i);
    });
  }
  void finish() const override {
    const c10::cuda::CUDAGuard here(device_);
    check_cuda(cudaDeviceSynchronize(), "work that was queued");
  }

  at::Tensor bring(const at::Tensor& host, at::ScalarType type) const override {
    const c10::NoGradGuard no_gradient;
    at::Tensor there;
    with_device_errors([&] { there = host.is_cuda() ? host.to(device_, type) : sent(host, type); });
    return there;
  }
  at::Tensor fetch(const at::Tensor& tensor, at::ScalarType type) const override {
    at::Tensor here;
    with_device_errors([&] { here = tensor.is_cuda() ? received(tensor, type) : tensor; });
    const bool is_one = here.scalar_type() == type && here.is_contiguous();
    return is_one ? here : here.detach().to(type).contiguous();
  }

  std::unique_ptr<Arrival> arrival(at::IntArrayRef shape, at::ScalarType type) const override {
    std::unique_ptr<Arrival> made;
    with_device_errors([&] {
      const c10::cuda::CUDAGuard here(device_);
      made = std::make_unique<CudaArrival>(at::empty(shape, at::device(device_).dtype(type)), ring_,
                                           ring_in_use_);
    });
    return made;
  }
  DeviceMemory memory() const override {
    const c10::cuda::CUDAGuard here(device_);
    size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    const c10::CachingDeviceAllocator::DeviceStats stats =
        c10::cuda::CUDACachingAllocator::getDeviceStats(device_.index());
    const int64_t cached = stats.reserved_bytes[0].current - stats.allocated_bytes[0].current;
    return {static_cast<int64_t>(free) + cached,
            static_cast<int64_t>(total) / reserve_part + fixed_reserve_bytes,
            stats.allocated_bytes[0].peak};
  }

  std::string description() const override {
    return fmt::format("{} (cuda:{}), {}", properties_.name, device_.index(),
                       format_bytes(static_cast<int64_t>(properties_.totalGlobalMem)));
  }
  std::string identity() const override { return uuid_text(properties_.uuid); }
  std::string numerics() const override {
    int runtime = 0;
    check_cuda(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    return fmt::format("{} sm_{}{}x{}-{}-torch{}-cudart{}-cublaslt{}-arithmetic{}",
                       properties_.name, properties_.major, properties_.minor,
                       properties_.multiProcessorCount, element_word(element_), TORCH_VERSION,
                       runtime, cublasLtGetVersion(), arithmetic_revision);
  }

 private:
  // Cast on the device, piece by piece: the whole tensor is never there in the host's type.
  at::Tensor sent(const at::Tensor& tensor, at::ScalarType type) const {
    const c10::cuda::CUDAGuard here(device_);
    const std::lock_guard alone(ring_in_use_);
    const at::Tensor host = tensor.detach().contiguous();
    const at::Tensor there = at::empty(host.sizes(), at::device(device_).dtype(type));
    if (host.numel() == 0) return there;
    const auto* const bytes = static_cast<const std::byte*>(host.const_data_ptr());
    if (host.scalar_type() == type) {
      ring_.send(there.mutable_data_ptr(), bytes, static_cast<int64_t>(host.nbytes()));
      return there;
    }
    const int64_t size = host.element_size();
    const at::Tensor flat = there.view({-1});
    for_pieces(flat.numel(), ring_.buffer_bytes() / size, [&](int64_t first, int64_t count) {
      const at::Tensor raw = at::empty({count}, host.options().device(device_));
      ring_.send(raw.mutable_data_ptr(), bytes + first * size, count * size);
      flat.narrow(0, first, count).copy_(raw);
    });
    return there;
  }

  // Cast on the host, while the next pieces are under way.
  at::Tensor received(const at::Tensor& tensor, at::ScalarType type) const {
    const c10::NoGradGuard no_gradient;
    const c10::cuda::CUDAGuard here(device_);
    const std::lock_guard alone(ring_in_use_);
    const at::Tensor there = tensor.detach().contiguous();
    const at::Tensor host = at::empty(there.sizes(), at::dtype(type));
    if (host.numel() == 0) return host;
    const at::Tensor flat = host.view({-1});
    const int64_t size = there.element_size();
    const auto unload = [&](const std::byte* piece, int64_t first, int64_t count) {
      const at::Tensor raw = at::from_blob(const_cast<std::byte*>(piece), {count / size},
                                           at::dtype(there.scalar_type()));
      parallel_pieces(pool_, raw.numel(), elements_per_task, [&](int64_t begin, int64_t length) {
        flat.narrow(0, first / size + begin, length).copy_(raw.narrow(0, begin, length));
      });
    };
    ring_.receive(there.const_data_ptr(), static_cast<int64_t>(there.nbytes()), unload);
    return host;
  }

  ThreadPool& pool_;
  at::Device device_;
  at::ScalarType element_;
  cudaDeviceProp properties_;
  mutable std::mutex ring_in_use_;
  mutable PinnedRing ring_;
};

}  // namespace

std::unique_ptr<Device> cuda_device(const CudaWish& wish, ThreadPool& pool) {
  BITMILL_CHECK(
      wish.element == at::kFloat || wish.element == at::kBFloat16, UsageError,
      fmt::format("a GPU computes in float32 or bfloat16, not in {}", c10::toString(wish.element)));
  check_cuda_index(wish.index);
  try_cuda_device(wish.index);
  return std::make_unique<CudaDevice>(wish, pool);
}

}  // namespace bitmill
