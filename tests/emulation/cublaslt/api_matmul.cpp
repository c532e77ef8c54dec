// Choosing an algorithm and multiplying, as cublasLt.h declares it.

#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <string>

#include "emulation/cublaslt/algorithms.hpp"
#include "emulation/cublaslt/attributes.hpp"
#include "emulation/cublaslt/descriptors.hpp"
#include "emulation/cublaslt/product.hpp"
#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/leaks.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/stream_table.hpp"

struct cublasLtContext {
  int device;
};

namespace {

using namespace bitmill::fake_cuda;

constexpr uintptr_t alignment = 16;  // of every operand: what vector loads need

bool is_usable(const void* address) {
  return is_device_address(address) && reinterpret_cast<uintptr_t>(address) % alignment == 0;
}

Shapes shapes_of(cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                 cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return {read<MatmulDescription>(desc), read<MatrixLayout>(a), read<MatrixLayout>(b),
          read<MatrixLayout>(c), read<MatrixLayout>(d)};
}

double scalar(const Shapes& shapes, const void* value) {
  if (shapes.desc.scale == CUDA_R_32I) return *static_cast<const int32_t*>(value);
  return *static_cast<const float*>(value);
}

bool allowed(const Algorithm& algorithm, const Shapes& shapes, const MatmulPreference& wish) {
  if (algorithm.split_k > 1 && (wish.reductions & algorithm.reduction) == 0) return false;
  return workspace_of(algorithm, shapes.m(), shapes.n(), shapes.d.batch) <= wish.most_workspace;
}

cublasStatus_t move_field(Algorithm& algorithm, cublasLtMatmulAlgoConfigAttributes_t name,
                          const Attribute& value) {
  switch (name) {
    case CUBLASLT_ALGO_CONFIG_ID:
      return value.move(algorithm.id);
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
      return value.move(algorithm.tile);
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
      return value.move(algorithm.stages);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      return value.move(algorithm.split_k);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      return value.move(algorithm.reduction);
    default:
      return unknown_attribute("matmul algorithm", name);
  }
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* out) {
  std::string error;
  if (wanted_failure(__func__, &error)) return CUBLAS_STATUS_ALLOC_FAILED;
  if (why_not_usable() != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  count_live("cublasLt handles", 1);
  *out = new cublasLtContext{current_device()};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (handle != nullptr) count_live("cublasLt handles", -1);
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion() { return 130100; }

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
  }
}
const char* cublasLtGetStatusString(cublasStatus_t status) { return cublasLtGetStatusName(status); }

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  if (handle == nullptr || wanted <= 0) return CUBLAS_STATUS_INVALID_VALUE;
  *found = 0;
  const Shapes shapes = shapes_of(desc, a, b, c, d);
  if (const cublasStatus_t status = check(shapes); status != CUBLAS_STATUS_SUCCESS) return status;
  const auto wish = read<MatmulPreference>(preference);
  for (const uint32_t promised : wish.alignment) {
    if (promised < alignment) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  for (const Algorithm& algorithm :
       algorithms_for(shapes.m(), shapes.n(), shapes.k(), handle->device)) {
    if (*found == wanted || !allowed(algorithm, shapes, wish)) continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*found)++];
    result = {};
    write(&result.algo, algorithm);
    result.workspaceSize = workspace_of(algorithm, shapes.m(), shapes.n(), shapes.d.batch);
    result.state = CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1.0F;
  }
  return *found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t name,
                                                    void* into, size_t size, size_t* written) {
  auto algorithm = read<Algorithm>(algo);
  return move_field(algorithm, name, Attribute(into, size, written));
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t name,
                                                    const void* from, size_t size) {
  auto algorithm = read<Algorithm>(algo);
  const cublasStatus_t status = move_field(algorithm, name, Attribute(from, size));
  if (status == CUBLAS_STATUS_SUCCESS) write(algo, algorithm);
  return status;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algo,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (handle == nullptr || algo == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Shapes shapes = shapes_of(desc, a, b, c, d);
  if (const cublasStatus_t status = check(shapes); status != CUBLAS_STATUS_SUCCESS) return status;
  const auto algorithm = read<Algorithm>(algo);
  if (!is_known(algorithm)) return CUBLAS_STATUS_NOT_SUPPORTED;
  *result = {};
  result->algo = *algo;
  result->workspaceSize = workspace_of(algorithm, shapes.m(), shapes.n(), shapes.d.batch);
  result->state = CUBLAS_STATUS_SUCCESS;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t layout_a, const void* b,
                              cublasLtMatrixLayout_t layout_b, const void* beta, const void* c,
                              cublasLtMatrixLayout_t layout_c, void* d,
                              cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  std::string error;
  if (wanted_failure(__func__, &error)) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (handle == nullptr || alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (sticky_error(handle->device) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  const Shapes shapes = shapes_of(desc, layout_a, layout_b, layout_c, layout_d);
  if (const cublasStatus_t status = check(shapes); status != CUBLAS_STATUS_SUCCESS) return status;
  for (const void* operand : {a, b, c, static_cast<const void*>(d)}) {
    if (!is_usable(operand)) return CUBLAS_STATUS_INVALID_VALUE;
  }
  // Without an algorithm the first that needs no workspace beyond the given one.
  Algorithm algorithm{};
  MatmulPreference room;
  room.most_workspace = workspace == nullptr ? 0 : workspace_bytes;
  if (algo != nullptr) {
    algorithm = read<Algorithm>(algo);
    if (!is_known(algorithm)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!allowed(algorithm, shapes, room)) return CUBLAS_STATUS_INVALID_VALUE;
  } else {
    for (const Algorithm& one :
         algorithms_for(shapes.m(), shapes.n(), shapes.k(), handle->device)) {
      if (algorithm.id == 0 && allowed(one, shapes, room)) algorithm = one;
    }
  }
  if (algorithm.split_k > 1 && !is_usable(workspace)) return CUBLAS_STATUS_INVALID_VALUE;
  const Operands operands{alias(a),
                          alias(b),
                          alias(c),
                          alias(d),
                          static_cast<float*>(alias(workspace)),
                          scalar(shapes, alpha),
                          scalar(shapes, beta)};
  const cudaError_t queued =
      enqueue(stream, [shapes, algorithm, operands] { multiply(shapes, algorithm, operands); });
  return queued == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
