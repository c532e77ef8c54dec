#pragma once
// Copies: which side each address is on, what must be staged, and who waits.

#include <cuda_runtime_api.h>

#include <cstddef>

namespace bitmill::fake_cuda {

// A block of `rows` rows of `width` bytes; a plain copy has one row.
struct CopyShape {
  size_t width;
  size_t rows = 1;
  size_t to_pitch = 0;
  size_t from_pitch = 0;
};

enum class CopyCall { synchronous, asynchronous };

// Refuses (cudaErrorInvalidValue) device memory that is freed or shorter than the copy, and a
// direction that does not fit the addresses. From pageable memory the bytes are taken before the
// call returns; into pageable memory the call returns when they are there; in both cases pinned
// memory is touched only when the stream comes to it.
cudaError_t copy(void* to, const void* from, const CopyShape& shape, cudaMemcpyKind kind,
                 cudaStream_t stream, CopyCall call);

// Queued for device memory; refuses what is not all of one allocation.
cudaError_t fill(void* to, int value, size_t bytes, cudaStream_t stream);

}  // namespace bitmill::fake_cuda
