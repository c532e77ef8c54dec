#pragma once
// The place of tensors that come from the host while a GPU computes: a copy on a stream of its own.

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAStream.h>

#include <mutex>

#include "device/cuda_pinned_ring.hpp"
#include "device/device.hpp"

namespace bitmill {

// Made and used by one thread, while the device is its current one. Ring and mutex outlive it; the
// mutex guards the ring.
class CudaArrival final : public Arrival {
 public:
  CudaArrival(const at::Tensor& place, PinnedRing& ring, std::mutex& ring_in_use);
  // The memory of the place is given out again only behind the copy.
  ~CudaArrival() override;

  void begin(const at::Tensor& host) override;
  at::Tensor value(at::ScalarType type) override;

 private:
  const at::Tensor place_;
  PinnedRing& ring_;
  std::mutex& ring_in_use_;
  const c10::cuda::CUDAStream copies_;
  const UniqueHandle<EventTraits> arrived_, taken_;
};

}  // namespace bitmill
