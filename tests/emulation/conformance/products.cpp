// Products of cuBLASLt: results, layouts, and algorithms that stay the same.

#include <cublasLt.h>
#include <cuda_bf16.h>

#include <cstring>
#include <string>

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {
namespace {

void must_lt(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(std::string(call) + ": status " + std::to_string(status));
  }
}
#define MUST_LT(call) must_lt(call, #call)

// d [m, n] = op(a) op(b), all in columns; a is [k, m] and transposed, as a linear's weight lies.
class Product {
 public:
  Product(int m, int n, int k, cudaDataType in, cublasComputeType_t compute, cudaDataType scale,
          cudaDataType out)
      : m_(m), n_(n), k_(k) {
    const auto rows_of_a = static_cast<uint64_t>(k), columns = static_cast<uint64_t>(n);
    MUST_LT(cublasLtCreate(&handle_));
    MUST_LT(cublasLtMatmulDescCreate(&desc_, compute, scale));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    MUST_LT(cublasLtMatmulDescSetAttribute(desc_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                           sizeof(transposed)));
    MUST_LT(cublasLtMatrixLayoutCreate(&a_, in, rows_of_a, static_cast<uint64_t>(m), k));
    MUST_LT(cublasLtMatrixLayoutCreate(&b_, in, rows_of_a, columns, k));
    MUST_LT(cublasLtMatrixLayoutCreate(&d_, out, static_cast<uint64_t>(m), columns, m));
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;
  ~Product() {
    for (cublasLtMatrixLayout_t layout : {a_, b_, d_}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(desc_);
    cublasLtDestroy(handle_);
  }

  // As many as there are up to `most`, with that workspace at most.
  std::vector<cublasLtMatmulHeuristicResult_t> algorithms(int most, uint64_t workspace,
                                                          uint32_t reductions) const {
    cublasLtMatmulPreference_t wish = nullptr;
    MUST_LT(cublasLtMatmulPreferenceCreate(&wish));
    MUST_LT(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &workspace, sizeof(workspace)));
    MUST_LT(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                 &reductions, sizeof(reductions)));
    std::vector<cublasLtMatmulHeuristicResult_t> all(static_cast<size_t>(most));
    int found = 0;
    MUST_LT(cublasLtMatmulAlgoGetHeuristic(handle_, desc_, a_, b_, d_, d_, wish, most, all.data(),
                                           &found));
    MUST_LT(cublasLtMatmulPreferenceDestroy(wish));
    all.resize(static_cast<size_t>(found));
    return all;
  }

  template <typename Scalar>
  cublasStatus_t run(const void* a, const void* b, void* d, const cublasLtMatmulAlgo_t* algorithm,
                     void* workspace, size_t workspace_bytes, cudaStream_t stream) const {
    const Scalar one = 1, zero = 0;
    return cublasLtMatmul(handle_, desc_, &one, a, a_, b, b_, &zero, d, d_, d, d_, algorithm,
                          workspace, workspace_bytes, stream);
  }

  int m() const { return m_; }
  int n() const { return n_; }
  int k() const { return k_; }
  cublasLtMatmulDesc_t description() const { return desc_; }

 private:
  int m_, n_, k_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, d_ = nullptr;
};

template <typename T>
void fill(const DeviceMemory<T>& memory, size_t count, int step, int below) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] =
        static_cast<T>(static_cast<float>((static_cast<int>(i) * step) % below - below / 2));
  }
  MUST(cudaMemcpy(memory.get(), values.data(), count * sizeof(T), cudaMemcpyHostToDevice));
  MUST(cudaStreamSynchronize(nullptr));
}

// Small integers: every sum is exact, in any order.
template <typename In, typename Out, typename Scalar>
void expect_exact(const Product& product) {
  const auto m = static_cast<size_t>(product.m()), n = static_cast<size_t>(product.n()),
             k = static_cast<size_t>(product.k());
  const DeviceMemory<In> a(k * m), b(k * n);
  const DeviceMemory<Out> d(m * n);
  fill(a, k * m, 7, 9);
  fill(b, k * n, 5, 7);
  EXPECT_SAME((product.run<Scalar>(a.get(), b.get(), d.get(), nullptr, nullptr, 0, nullptr)),
              CUBLAS_STATUS_SUCCESS);
  const std::vector<In> in_a = a.values(), in_b = b.values();
  const std::vector<Out> out = d.values();
  int differences = 0;
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = 0; i < m; ++i) {
      float sum = 0;
      for (size_t l = 0; l < k; ++l) {
        sum += static_cast<float>(in_a[l + i * k]) * static_cast<float>(in_b[l + j * k]);
      }
      differences += static_cast<float>(out[i + j * m]) == sum ? 0 : 1;
    }
  }
  EXPECT_SAME(differences, 0);
}

constexpr uint64_t workspace_bytes = uint64_t{4} << 20;

}  // namespace

CONFORMS(products, "bf16 times bf16, summed in float32") {
  expect_exact<__nv_bfloat16, float, float>(
      Product(24, 16, 64, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F));
  expect_exact<__nv_bfloat16, float, float>(
      Product(8, 40, 256, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F));
}

CONFORMS(products, "float32 times float32") {
  expect_exact<float, float, float>(
      Product(16, 12, 20, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F));
}

CONFORMS(products, "int8 times int8, summed in int32") {
  expect_exact<int8_t, int32_t, int32_t>(
      Product(16, 16, 64, CUDA_R_8I, CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_32I));
}

CONFORMS(products, "The same algorithm gives the same bytes, whatever else it is given") {
  const Product product(64, 64, 512, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F);
  const DeviceMemory<__nv_bfloat16> a(512 * 64), b(512 * 64);
  std::vector<__nv_bfloat16> values(512 * 64);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i * 2654435761U % 1000) / 333.0F - 1.5F;
  }
  MUST(cudaMemcpy(a.get(), values.data(), a.bytes(), cudaMemcpyHostToDevice));
  MUST(cudaMemcpy(b.get(), values.data(), b.bytes(), cudaMemcpyHostToDevice));
  const DeviceMemory<char> workspace(workspace_bytes);
  const auto all = product.algorithms(8, workspace_bytes, CUBLASLT_REDUCTION_SCHEME_MASK);
  EXPECT(!all.empty());
  for (const cublasLtMatmulHeuristicResult_t& one : all) {
    EXPECT(one.workspaceSize <= workspace_bytes);
    const DeviceMemory<float> first(64 * 64, 0.0F), second(64 * 64, 1.0F);
    const Stream stream;
    EXPECT_SAME(product.run<float>(a.get(), b.get(), first.get(), &one.algo, workspace.get(),
                                   workspace_bytes, stream),
                CUBLAS_STATUS_SUCCESS);
    EXPECT_SAME(product.run<float>(a.get(), b.get(), second.get(), &one.algo, workspace.get(),
                                   workspace_bytes, stream),
                CUBLAS_STATUS_SUCCESS);
    MUST(cudaStreamSynchronize(stream));
    const std::vector<float> x = first.values(), y = second.values();
    EXPECT_SAME(std::memcmp(x.data(), y.data(), first.bytes()), 0);
  }
}

CONFORMS(products, "Without a workspace and without reductions no algorithm splits k") {
  const Product product(32, 32, 4096, CUDA_R_16BF, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F);
  for (const auto& one : product.algorithms(8, 0, CUBLASLT_REDUCTION_SCHEME_NONE)) {
    int32_t splits = 0;
    uint32_t reduction = 99;
    size_t written = 0;
    MUST_LT(cublasLtMatmulAlgoConfigGetAttribute(&one.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                 &splits, sizeof(splits), &written));
    EXPECT_SAME(written, sizeof(splits));
    MUST_LT(cublasLtMatmulAlgoConfigGetAttribute(&one.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                                 &reduction, sizeof(reduction), &written));
    EXPECT_SAME(one.workspaceSize, size_t{0});
    EXPECT(splits <= 1);
    EXPECT_SAME(reduction, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  }
}

CONFORMS(products, "A product is done in its stream's order") {
  const Product product(16, 16, 16, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F);
  const DeviceMemory<float> a(256, 0.0F), b(256, 1.0F), d(256, -1.0F);
  PinnedMemory<float> twos(256, 2.0F);
  const Stream stream;
  Gate gate(stream);
  MUST(cudaMemcpyAsync(a.get(), twos.get(), a.bytes(), cudaMemcpyHostToDevice, stream));
  EXPECT_SAME(product.run<float>(a.get(), b.get(), d.get(), nullptr, nullptr, 0, stream),
              CUBLAS_STATUS_SUCCESS);
  gate.open();
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(d.values()[255], 32.0F);
}

CONFORMS(products, "Shapes and sizes that do not fit are invalid values") {
  const Product product(16, 16, 16, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F);
  const float half = 0.5F;
  EXPECT_SAME(
      cublasLtMatmulDescSetAttribute(product.description(), CUBLASLT_MATMUL_DESC_TRANSA, &half, 1),
      CUBLAS_STATUS_INVALID_VALUE);
  cublasOperation_t kept = CUBLAS_OP_N;
  size_t written = 0;
  MUST_LT(cublasLtMatmulDescGetAttribute(product.description(), CUBLASLT_MATMUL_DESC_TRANSA, &kept,
                                         sizeof(kept), &written));
  EXPECT_SAME(kept, CUBLAS_OP_T);
}

}  // namespace conformance
