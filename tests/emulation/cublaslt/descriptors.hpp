#pragma once
// What the opaque structures of cublasLt.h hold here.

#include <cublasLt.h>

#include <cstdint>
#include <cstring>

namespace bitmill::fake_cuda {

struct MatrixLayout {
  cudaDataType type;
  uint64_t rows, cols;
  int64_t leading;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  int32_t batch = 1;
  int64_t batch_stride = 0;
};

struct MatmulDescription {
  cublasComputeType_t compute;
  cudaDataType scale;
  cublasOperation_t transpose_a = CUBLAS_OP_N;
  cublasOperation_t transpose_b = CUBLAS_OP_N;
};

struct MatmulPreference {
  uint64_t most_workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d
};

// The opaque structure holds a copy of the value.
template <typename Value, typename Opaque>
Value read(const Opaque* opaque) {
  static_assert(sizeof(Value) <= sizeof(Opaque));
  Value value;
  std::memcpy(static_cast<void*>(&value), opaque, sizeof(value));
  return value;
}
template <typename Value, typename Opaque>
void write(Opaque* opaque, const Value& value) {
  static_assert(sizeof(Value) <= sizeof(Opaque));
  std::memcpy(static_cast<void*>(opaque), &value, sizeof(value));
}

}  // namespace bitmill::fake_cuda
