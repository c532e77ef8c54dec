#include "emulation/cublaslt/product.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace bitmill::fake_cuda {
namespace {

bool is_whole(cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_32I || compute == CUBLAS_COMPUTE_32I_PEDANTIC;
}

float to_tf32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return std::isfinite(value) ? std::bit_cast<float>((bits + 0x1000U) & ~0x1fffU) : value;
}

double load(const void* data, cudaDataType type, int64_t i) {
  switch (type) {
    case CUDA_R_16BF:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
    case CUDA_R_16F:
      return __half2float(static_cast<const __half*>(data)[i]);
    case CUDA_R_32F:
      return static_cast<const float*>(data)[i];
    case CUDA_R_8I:
      return static_cast<const int8_t*>(data)[i];
    default:
      return static_cast<const int32_t*>(data)[i];
  }
}

void store(void* data, cudaDataType type, int64_t i, double value) {
  const auto rounded = static_cast<float>(value);
  switch (type) {
    case CUDA_R_16BF:
      static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16(rounded);
      break;
    case CUDA_R_16F:
      static_cast<__half*>(data)[i] = __float2half(rounded);
      break;
    case CUDA_R_32F:
      static_cast<float*>(data)[i] = rounded;
      break;
    default:
      static_cast<int32_t*>(data)[i] = static_cast<int32_t>(value);
  }
}

int64_t place(const MatrixLayout& layout, uint64_t row, uint64_t col) {
  const auto r = static_cast<int64_t>(row), c = static_cast<int64_t>(col);
  return layout.order == CUBLASLT_ORDER_COL ? r + c * layout.leading : r * layout.leading + c;
}

// op(x) of one batch as [k][outer], so that the sums of one k lie side by side.
std::vector<float> gathered(const void* data, const MatrixLayout& layout, bool k_is_row, uint64_t k,
                            uint64_t outer, int64_t batch, bool as_tf32) {
  std::vector<float> all(k * outer);
  const int64_t first = batch * layout.batch_stride;
  for (uint64_t l = 0; l < k; ++l) {
    for (uint64_t i = 0; i < outer; ++i) {
      const int64_t at = k_is_row ? place(layout, l, i) : place(layout, i, l);
      const auto value = static_cast<float>(load(data, layout.type, first + at));
      all[l * outer + i] = as_tf32 ? to_tf32(value) : value;
    }
  }
  return all;
}

// Adds the terms [begin, end) of k to `sums` [n][m], a chunk at a time.
template <typename Sum>
void add_terms(const std::vector<float>& a, const std::vector<float>& b, uint64_t m, uint64_t n,
               uint64_t begin, uint64_t end, uint64_t chunk, Sum* sums) {
  std::vector<Sum> part(m);
  for (uint64_t j = 0; j < n; ++j) {
    for (uint64_t from = begin; from < end; from += chunk) {
      std::fill(part.begin(), part.end(), Sum{0});
      for (uint64_t l = from; l < std::min(from + chunk, end); ++l) {
        const Sum y = static_cast<Sum>(b[l * n + j]);
        for (uint64_t i = 0; i < m; ++i) part[i] += static_cast<Sum>(a[l * m + i]) * y;
      }
      for (uint64_t i = 0; i < m; ++i) sums[j * m + i] += part[i];
    }
  }
}

// The partial sums of the splits go through the workspace.
std::vector<float> split_sums(const std::vector<float>& a, const std::vector<float>& b,
                              const Shapes& shapes, const Algorithm& algorithm, float* workspace) {
  const uint64_t m = shapes.m(), n = shapes.n(), k = shapes.k();
  const auto splits = static_cast<uint64_t>(algorithm.split_k);
  const auto chunk = static_cast<uint64_t>(algorithm.chunk);
  std::vector<float> sums(m * n, 0.0F);
  if (splits == 1) {
    add_terms(a, b, m, n, 0, k, chunk, sums.data());
    return sums;
  }
  for (uint64_t s = 0; s < splits; ++s) {
    float* const own = workspace + s * m * n;
    std::fill(own, own + m * n, 0.0F);
    add_terms(a, b, m, n, k * s / splits, k * (s + 1) / splits, chunk, own);
  }
  for (uint64_t s = 0; s < splits; ++s) {
    for (uint64_t i = 0; i < m * n; ++i) sums[i] += workspace[s * m * n + i];
  }
  return sums;
}

template <typename Sum>
void write_result(const std::vector<Sum>& sums, const Shapes& shapes, const Operands& operands,
                  int64_t batch) {
  const int64_t first_c = batch * shapes.c.batch_stride, first_d = batch * shapes.d.batch_stride;
  for (uint64_t j = 0; j < shapes.n(); ++j) {
    for (uint64_t i = 0; i < shapes.m(); ++i) {
      double value = operands.scale_a * static_cast<double>(sums[j * shapes.m() + i]);
      if (operands.scale_c != 0) {
        value +=
            operands.scale_c * load(operands.c, shapes.c.type, first_c + place(shapes.c, i, j));
      }
      store(operands.d, shapes.d.type, first_d + place(shapes.d, i, j), value);
    }
  }
}

bool known_types(const Shapes& s) {
  const cudaDataType in = s.a.type, out = s.d.type;
  if (s.b.type != in || s.c.type != out) return false;
  if (is_whole(s.desc.compute)) {
    return s.desc.scale == CUDA_R_32I && in == CUDA_R_8I && out == CUDA_R_32I;
  }
  const bool compute = s.desc.compute == CUBLAS_COMPUTE_32F ||
                       s.desc.compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
                       s.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (!compute || s.desc.scale != CUDA_R_32F) return false;
  const bool in_known = in == CUDA_R_16BF || in == CUDA_R_16F || in == CUDA_R_32F;
  return in_known && (out == in || out == CUDA_R_32F);
}

bool fits(const MatrixLayout& layout) {
  const uint64_t least = layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.cols;
  return layout.leading >= static_cast<int64_t>(least) && layout.batch >= 1;
}

}  // namespace

uint64_t Shapes::k() const { return desc.transpose_a == CUBLAS_OP_N ? a.cols : a.rows; }

cublasStatus_t check(const Shapes& s) {
  const auto order_known = [](const MatrixLayout& layout) {
    return layout.order == CUBLASLT_ORDER_COL || layout.order == CUBLASLT_ORDER_ROW;
  };
  for (const MatrixLayout* layout : {&s.a, &s.b, &s.c, &s.d}) {
    if (!order_known(*layout)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!fits(*layout) || layout->batch != s.d.batch) return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!known_types(s)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool a_as_is = s.desc.transpose_a == CUBLAS_OP_N;
  const bool b_as_is = s.desc.transpose_b == CUBLAS_OP_N;
  const uint64_t m = a_as_is ? s.a.rows : s.a.cols, n = b_as_is ? s.b.cols : s.b.rows;
  const uint64_t k_of_b = b_as_is ? s.b.rows : s.b.cols;
  const bool shapes_fit =
      s.k() == k_of_b && s.d.rows == m && s.d.cols == n && s.c.rows == m && s.c.cols == n;
  return shapes_fit ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

void multiply(const Shapes& s, const Algorithm& algorithm, const Operands& operands) {
  const uint64_t m = s.m(), n = s.n(), k = s.k();
  const bool as_tf32 = s.desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && s.a.type == CUDA_R_32F;
  for (int64_t batch = 0; batch < s.d.batch; ++batch) {
    const auto a =
        gathered(operands.a, s.a, s.desc.transpose_a != CUBLAS_OP_N, k, m, batch, as_tf32);
    const auto b =
        gathered(operands.b, s.b, s.desc.transpose_b == CUBLAS_OP_N, k, n, batch, as_tf32);
    if (is_whole(s.desc.compute)) {
      std::vector<int32_t> sums(m * n, 0);
      add_terms(a, b, m, n, 0, k, k, sums.data());
      write_result(sums, s, operands, batch);
      continue;
    }
    float* const own = operands.workspace == nullptr
                           ? nullptr
                           : operands.workspace + static_cast<uint64_t>(batch) * m * n *
                                                      static_cast<uint64_t>(algorithm.split_k);
    write_result(split_sums(a, b, s, algorithm, own), s, operands, batch);
  }
}

}  // namespace bitmill::fake_cuda
