#pragma once
// What the parts of the CUDA key share: libtorch's own caching allocator, and a device tensor as
// device work sees it.

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>

namespace bitmill::fake_cuda {

// c10's, over the emulated runtime; begun at the first call.
c10::Allocator* device_allocator();
// Every allocation is a cudaHostAlloc of its own.
c10::Allocator* pinned_allocator();

// The same elements at the address that device work uses: a CPU tensor that owns nothing. Only for
// tasks of streams. A CPU tensor is returned as it is.
at::Tensor as_device_work_sees(const at::Tensor& tensor);

}  // namespace bitmill::fake_cuda
