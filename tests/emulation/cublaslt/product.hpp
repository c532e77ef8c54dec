#pragma once
// One product: what is refused, and the sums themselves.

#include <cublasLt.h>

#include <cstdint>

#include "emulation/cublaslt/algorithms.hpp"
#include "emulation/cublaslt/descriptors.hpp"

namespace bitmill::fake_cuda {

struct Shapes {
  MatmulDescription desc;
  MatrixLayout a, b, c, d;
  uint64_t m() const { return d.rows; }
  uint64_t n() const { return d.cols; }
  uint64_t k() const;
};

// CUBLAS_STATUS_INVALID_VALUE: shapes, batches or leading dimensions that do not fit.
// CUBLAS_STATUS_NOT_SUPPORTED: types or orders that are not emulated.
cublasStatus_t check(const Shapes& shapes);

// Addresses as device work sees them. `scale_a`, `scale_c`: alpha and beta, read by the caller.
struct Operands {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  float* workspace;
  double scale_a;
  double scale_c;
};

// d = scale_a op(a) op(b) + scale_c c. Products and sums are rounded to float32 (products of 16-bit
// numbers are exact), in the order of the algorithm; int8 products are summed exactly. With scale_c
// 0, c is not read.
void multiply(const Shapes& shapes, const Algorithm& algorithm, const Operands& operands);

}  // namespace bitmill::fake_cuda
