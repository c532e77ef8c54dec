// The operators that make, copy and reshape device tensors. All others: fallback.cpp.

#include <ATen/EmptyTensor.h>
#include <ATen/core/ATen_fwd.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "emulation/runtime/pinned.hpp"
#include "emulation/runtime/stream_table.hpp"
#include "emulation/torch/device_tensors.hpp"

namespace {

using namespace bitmill::fake_cuda;
using at::Tensor;

constexpr c10::DispatchKeySet cuda_key(c10::DispatchKey::CUDA);

Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype,
             std::optional<at::Layout> /*layout*/, std::optional<at::Device> device,
             std::optional<bool> /*pin_memory*/, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_generic(size, device_allocator(), cuda_key, c10::dtype_or_default(dtype),
                                   format);
}

Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride,
                     std::optional<at::ScalarType> dtype, std::optional<at::Layout> /*layout*/,
                     std::optional<at::Device> device, std::optional<bool> /*pin_memory*/) {
  const c10::DeviceGuard guard(c10::device_or_default(device));
  return at::detail::empty_strided_generic(size, stride, device_allocator(), cuda_key,
                                           c10::dtype_or_default(dtype));
}

bool is_pinned_data(const Tensor& tensor) {
  return tensor.is_cpu() && PinnedMemory::of_process().contains(tensor.const_data_ptr());
}

// Orders `later` behind all that is on `earlier` now.
void wait_for(const c10::cuda::CUDAStream& later, const c10::cuda::CUDAStream& earlier) {
  if (later == earlier) return;
  c10::cuda::CUDAEvent event;
  event.record(earlier);
  event.block(later);
}

// In the order of the current stream, so that a wait that is missing shows. Between two devices on
// the source's stream, with the destination's stream before and behind it, as libtorch does.
Tensor& copy_(Tensor& self, const Tensor& source, bool non_blocking) {
  if (self.numel() == 0) return self;
  const c10::cuda::CUDAGuard guard(source.is_cuda() ? source.device() : self.device());
  const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream();
  const bool two_devices = self.is_cuda() && source.is_cuda() && self.device() != source.device();
  const c10::cuda::CUDAStream far =
      two_devices ? c10::cuda::getCurrentCUDAStream(self.device().index()) : stream;
  wait_for(stream, far);
  const bool staged = source.is_cpu() && !is_pinned_data(source);
  const Tensor from = staged ? source.detach().clone() : as_device_work_sees(source.detach());
  const Tensor to = as_device_work_sees(self.detach());
  C10_CUDA_CHECK(enqueue(stream.stream(), [to, from] {
    const at::NoGradGuard no_grad;
    Tensor target = to;
    target.copy_(from);
  }));
  wait_for(far, stream);
  const bool may_return = !self.is_cpu() ? staged || non_blocking || source.is_cuda()
                                         : non_blocking && is_pinned_data(self);
  if (!may_return) C10_CUDA_CHECK(cudaStreamSynchronize(stream.stream()));
  return self;
}

Tensor copy_from(const Tensor& self, const Tensor& destination, bool non_blocking) {
  Tensor out = destination;
  return copy_(out, self, non_blocking);
}

const Tensor& resize_(const Tensor& self, c10::IntArrayRef size,
                      std::optional<at::MemoryFormat> /*format*/) {
  const size_t bytes = at::detail::computeStorageNbytesContiguous(
      size, self.dtype().itemsize(), static_cast<size_t>(self.storage_offset()));
  c10::StorageImpl* const storage = self.storage().unsafeGetStorageImpl();
  if (bytes > storage->nbytes()) {
    const c10::cuda::CUDAGuard guard(self.device());
    c10::DataPtr data = device_allocator()->allocate(bytes);
    if (storage->nbytes() > 0) {
      C10_CUDA_CHECK(cudaMemcpyAsync(data.get(), storage->data(), storage->nbytes(),
                                     cudaMemcpyDeviceToDevice,
                                     c10::cuda::getCurrentCUDAStream().stream()));
    }
    storage->set_data_ptr_noswap(std::move(data));
    storage->set_nbytes(bytes);
  }
  self.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  return self;
}

Tensor copy_from_and_resize(const Tensor& self, const Tensor& destination) {
  if (!destination.sizes().equals(self.sizes())) resize_(destination, self.sizes(), std::nullopt);
  return copy_from(self, destination, false);
}

Tensor& set_storage(Tensor& self, at::Storage source, int64_t offset, c10::IntArrayRef size,
                    c10::IntArrayRef stride) {
  c10::TensorImpl* const tensor = self.unsafeGetTensorImpl();
  tensor->set_storage_keep_dtype(std::move(source));
  tensor->set_storage_offset(offset);
  tensor->set_sizes_and_strides(size, stride);
  return self;
}

bool is_pinned(const Tensor& self, std::optional<at::Device> /*device*/) {
  return is_pinned_data(self);
}

// The tensor's memory is used on another stream: it may be given out again only behind that.
void record_stream(Tensor& self, c10::Stream stream) {
  c10::cuda::CUDACachingAllocator::recordStream(
      self.storage().data_ptr(),
      c10::cuda::CUDAStream::unpack3(stream.id(), stream.device_index(), stream.device_type()));
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("copy_", copy_);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("resize_", resize_);
  library.impl("set_.source_Storage_storage_offset", set_storage);
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("unfold", TORCH_FN(at::native::unfold));
  library.impl("is_pinned", is_pinned);
  library.impl("record_stream", record_stream);
}

}  // namespace
