// Making and changing descriptions, as cublasLt.h declares it.

#include <cublasLt.h>

#include "emulation/cublaslt/attributes.hpp"
#include "emulation/cublaslt/descriptors.hpp"
#include "emulation/runtime/leaks.hpp"

namespace {

using namespace bitmill::fake_cuda;

cublasStatus_t move_field(MatrixLayout& layout, cublasLtMatrixLayoutAttribute_t attribute,
                          const Attribute& value) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return value.move(layout.type);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return value.move(layout.order);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return value.move(layout.rows);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return value.move(layout.cols);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return value.move(layout.leading);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return value.move(layout.batch);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return value.move(layout.batch_stride);
    default:
      return unknown_attribute("matrix layout", attribute);
  }
}

cublasStatus_t move_field(MatmulDescription& desc, cublasLtMatmulDescAttributes_t attribute,
                          const Attribute& value) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return value.move(desc.compute);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return value.move(desc.scale);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return value.move(desc.transpose_a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return value.move(desc.transpose_b);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return value.only(CUBLASLT_POINTER_MODE_HOST, "the pointer mode");
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return value.only(CUBLASLT_EPILOGUE_DEFAULT, "the epilogue");
    default:
      return unknown_attribute("matmul description", attribute);
  }
}

cublasStatus_t move_field(MatmulPreference& wish, cublasLtMatmulPreferenceAttributes_t attribute,
                          const Attribute& value) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return value.move(wish.most_workspace);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return value.move(wish.reductions);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return value.move(wish.alignment[0]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return value.move(wish.alignment[1]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return value.move(wish.alignment[2]);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return value.move(wish.alignment[3]);
    default:
      return unknown_attribute("matmul preference", attribute);
  }
}

template <typename Value, typename Opaque, typename Name>
cublasStatus_t set(Opaque* opaque, Name name, const void* from, size_t size) {
  if (opaque == nullptr || from == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto value = read<Value>(opaque);
  const cublasStatus_t status = move_field(value, name, Attribute(from, size));
  if (status == CUBLAS_STATUS_SUCCESS) write(opaque, value);
  return status;
}

template <typename Value, typename Opaque, typename Name>
cublasStatus_t get(const Opaque* opaque, Name name, void* into, size_t size, size_t* written) {
  if (opaque == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto value = read<Value>(opaque);
  return move_field(value, name, Attribute(into, size, written));
}

template <typename Opaque>
cublasStatus_t destroy(Opaque* opaque) {
  if (opaque != nullptr) count_live("cublasLt descriptions", -1);
  delete opaque;
  return CUBLAS_STATUS_SUCCESS;
}

template <typename Opaque, typename Value>
cublasStatus_t make(Opaque** out, const Value& value) {
  if (out == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  count_live("cublasLt descriptions", 1);
  *out = new Opaque{};
  write(*out, value);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t out, size_t size,
                                                 cudaDataType type, uint64_t rows, uint64_t cols,
                                                 int64_t leading) {
  if (out == nullptr || size != sizeof(*out)) return CUBLAS_STATUS_INVALID_VALUE;
  write(out, MatrixLayout{type, rows, cols, leading});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t leading) {
  return make(out, MatrixLayout{type, rows, cols, leading});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy(layout);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t name,
                                                const void* from, size_t size) {
  return set<MatrixLayout>(layout, name, from, size);
}
cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t name, void* into,
                                                size_t size, size_t* written) {
  return get<MatrixLayout>(layout, name, into, size, written);
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t out, size_t size,
                                               cublasComputeType_t compute, cudaDataType scale) {
  if (out == nullptr || size != sizeof(*out)) return CUBLAS_STATUS_INVALID_VALUE;
  write(out, MatmulDescription{compute, scale});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t compute,
                                        cudaDataType scale) {
  return make(out, MatmulDescription{compute, scale});
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { return destroy(desc); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t name, const void* from,
                                              size_t size) {
  return set<MatmulDescription>(desc, name, from, size);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t name, void* into,
                                              size_t size, size_t* written) {
  return get<MatmulDescription>(desc, name, into, size, written);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t out, size_t size) {
  if (out == nullptr || size != sizeof(*out)) return CUBLAS_STATUS_INVALID_VALUE;
  write(out, MatmulPreference{});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
  return make(out, MatmulPreference{});
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t wish) {
  return destroy(wish);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t wish,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* from, size_t size) {
  return set<MatmulPreference>(wish, name, from, size);
}
cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t wish,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    void* into, size_t size, size_t* written) {
  return get<MatmulPreference>(wish, name, into, size, written);
}
