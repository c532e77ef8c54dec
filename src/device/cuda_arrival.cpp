#include "device/cuda_arrival.hpp"

#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAGuard.h>

#include "base/error.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

cudaStream_t computing_stream(const at::Tensor& place) {
  return c10::cuda::getCurrentCUDAStream(place.device().index()).stream();
}

}  // namespace

CudaArrival::CudaArrival(const at::Tensor& place, PinnedRing& ring, std::mutex& ring_in_use)
    : place_(place),
      ring_(ring),
      ring_in_use_(ring_in_use),
      copies_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, place.device().index())),
      arrived_(new_cuda_event()),
      taken_(new_cuda_event()) {
  // What used this memory before must be done.
  check_cuda(cudaEventRecord(taken_.get(), computing_stream(place_)), "cudaEventRecord");
}

CudaArrival::~CudaArrival() {
  cudaStreamWaitEvent(computing_stream(place_), arrived_.get(), 0);  // no error can leave from here
}

void CudaArrival::begin(const at::Tensor& host) {
  BITMILL_CHECK(host.nbytes() == place_.nbytes() && host.is_contiguous() && host.is_cpu(),
                DeviceError, "a tensor was sent to a place that it does not fit");
  const std::lock_guard alone(ring_in_use_);
  const c10::cuda::CUDAStreamGuard beside(copies_);
  check_cuda(cudaStreamWaitEvent(copies_.stream(), taken_.get(), 0), "cudaStreamWaitEvent");
  ring_.send(place_.mutable_data_ptr(), host.const_data_ptr(), static_cast<int64_t>(host.nbytes()));
  check_cuda(cudaEventRecord(arrived_.get(), copies_.stream()), "cudaEventRecord");
}

at::Tensor CudaArrival::value(at::ScalarType type) {
  const c10::NoGradGuard no_gradient;
  const c10::cuda::CUDAGuard here(place_.device());
  const cudaStream_t computing = computing_stream(place_);
  check_cuda(cudaStreamWaitEvent(computing, arrived_.get(), 0), "cudaStreamWaitEvent");
  at::Tensor value = at::empty_like(place_, place_.options().dtype(type));
  value.copy_(place_);
  check_cuda(cudaEventRecord(taken_.get(), computing), "cudaEventRecord");
  return value;
}

}  // namespace bitmill
