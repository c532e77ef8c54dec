#include "device/cuda_product_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/error.hpp"
#include "device/cuda_matrix_lines.hpp"

namespace bitmill {
namespace {

// What an algorithm may use beside its operands: what NVIDIA recommends for Hopper. It is a limit.
// The memory is the caching allocator's, which gives it out again in the order of the stream.
constexpr uint64_t most_workspace = uint64_t{32} << 20;

std::string_view advice_for_product(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "; try the other --dtype";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "; the memory of the device is used up: choose a shorter --seq-len, or give the job a "
             "device of its own";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "; work that was queued earlier may have caused it";
    default:
      return "";
  }
}

template <typename Value>
Value algorithm_value(const cublasLtMatmulAlgo_t& algorithm,
                      cublasLtMatmulAlgoConfigAttributes_t name) {
  Value value = {};
  size_t written = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoConfigGetAttribute(&algorithm, name, &value, sizeof(value), &written);
  BITMILL_CHECK(status == CUBLAS_STATUS_SUCCESS, DeviceError,
                fmt::format("cublasLt: {} when asked about an algorithm (attribute {})",
                            cublasLtGetStatusName(status), static_cast<int>(name)));
  return value;
}

// Whether a sum over k has one order at every call.
bool keeps_order(const cublasLtMatmulAlgo_t& algorithm) {
  const auto splits = algorithm_value<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
  const auto reduction =
      algorithm_value<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
  return (splits == 0 || splits == 1) && reduction == CUBLASLT_REDUCTION_SCHEME_NONE;
}

using AlgorithmWords = std::array<int64_t, 8>;
static_assert(sizeof(AlgorithmWords) == sizeof(cublasLtMatmulAlgo_t));

}  // namespace

std::string ProductShape::words() const {
  const auto matrix = [](at::ScalarType type, int64_t rows, int64_t cols, bool by_columns,
                         int64_t stride) {
    return fmt::format("{} [{}, {}] in {} {} apart", type == at::kFloat ? "float32" : "bfloat16",
                       rows, cols, by_columns ? "columns" : "rows", stride);
  };
  return fmt::format("{} = {} times {}", matrix(out, m, n, false, out_stride),
                     matrix(in, m, k, a_by_columns, a_stride),
                     matrix(in, k, n, b_by_columns, b_stride));
}

void check_product(cublasStatus_t status, std::string_view call, const ProductShape& shape,
                   int device) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(fmt::format("cublasLt: {} ({}) from {} on cuda:{}, {}{}",
                                cublasLtGetStatusName(status), cublasLtGetStatusString(status),
                                call, device, shape.words(), advice_for_product(status)));
}

PlannedProduct described_product(const ProductShape& shape, int device) {
  PlannedProduct planned;
  check_product(cublasLtMatmulDescInit(&planned.description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                "cublasLtMatmulDescInit", shape, device);
  const auto transpose = [&](cublasLtMatmulDescAttributes_t which, bool by_columns) {
    const cublasOperation_t operation = by_columns ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_product(
        cublasLtMatmulDescSetAttribute(&planned.description, which, &operation, sizeof(operation)),
        "cublasLtMatmulDescSetAttribute", shape, device);
  };
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, shape.b_by_columns);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, shape.a_by_columns);
  const auto layout = [&](cublasLtMatrixLayoutOpaque_t& made, at::ScalarType type, int64_t rows,
                          int64_t cols, bool by_columns, int64_t stride) {
    const int64_t length = by_columns ? rows : cols, count = by_columns ? cols : rows;
    check_product(cublasLtMatrixLayoutInit(&made, type == at::kFloat ? CUDA_R_32F : CUDA_R_16BF,
                                           static_cast<uint64_t>(length),
                                           static_cast<uint64_t>(count), stride),
                  "cublasLtMatrixLayoutInit", shape, device);
  };
  layout(planned.b, shape.in, shape.k, shape.n, shape.b_by_columns, shape.b_stride);
  layout(planned.a, shape.in, shape.m, shape.k, shape.a_by_columns, shape.a_stride);
  layout(planned.out, shape.out, shape.m, shape.n, false, shape.out_stride);
  return planned;
}

void choose_algorithm(cublasLtHandle_t handle, const ProductShape& shape, int device,
                      PlannedProduct& planned) {
  cublasLtMatmulPreferenceOpaque_t wish = {};
  check_product(cublasLtMatmulPreferenceInit(&wish), "cublasLtMatmulPreferenceInit", shape, device);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t name, auto value) {
    check_product(cublasLtMatmulPreferenceSetAttribute(&wish, name, &value, sizeof(value)),
                  "cublasLtMatmulPreferenceSetAttribute", shape, device);
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
  for (const auto name :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(name, promised_alignment);
  }
  std::array<cublasLtMatmulHeuristicResult_t, 32> results = {};
  int count = 0;
  check_product(cublasLtMatmulAlgoGetHeuristic(
                    handle, &planned.description, &planned.b, &planned.a, &planned.out,
                    &planned.out, &wish, static_cast<int>(results.size()), results.data(), &count),
                "cublasLtMatmulAlgoGetHeuristic", shape, device);
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
    const bool fits =
        result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= most_workspace;
    if (!fits || !keeps_order(result.algo)) continue;
    planned.algorithm = result.algo;
    planned.workspace = result.workspaceSize;
    return;
  }
  throw DeviceError(fmt::format(
      "cublasLt: none of its {} algorithms for this product on cuda:{} adds up in one order: {}; "
      "try the other --dtype",
      count, device, shape.words()));
}

std::string algorithm_words(const PlannedProduct& planned) {
  const auto number = [&](cublasLtMatmulAlgoConfigAttributes_t name) {
    return algorithm_value<uint32_t>(planned.algorithm, name);
  };
  return fmt::format("algorithm {}, tile {}, stages {}, splits {}, workspace {}",
                     number(CUBLASLT_ALGO_CONFIG_ID), number(CUBLASLT_ALGO_CONFIG_TILE_ID),
                     number(CUBLASLT_ALGO_CONFIG_STAGES_ID),
                     number(CUBLASLT_ALGO_CONFIG_SPLITK_NUM), planned.workspace);
}

ProductChoice choice_of(const ProductShape& shape, const PlannedProduct& planned) {
  ProductChoice choice = {shape.m,
                          shape.n,
                          shape.k,
                          shape.in == at::kFloat,
                          shape.out == at::kFloat,
                          shape.a_by_columns,
                          shape.b_by_columns,
                          shape.a_stride,
                          shape.b_stride,
                          shape.out_stride,
                          static_cast<int64_t>(planned.workspace)};
  // cublasLt's algorithms may be kept as bytes, for the same version (its documentation of
  // cublasLtMatmulAlgo_t).
  std::ranges::copy(std::bit_cast<AlgorithmWords>(planned.algorithm), choice.begin() + 11);
  return choice;
}

ProductShape shape_of(const ProductChoice& choice) {
  const auto type = [](int64_t is_float) { return is_float != 0 ? at::kFloat : at::kBFloat16; };
  return {choice[0],      choice[1],      choice[2], type(choice[3]), type(choice[4]),
          choice[5] != 0, choice[6] != 0, choice[7], choice[8],       choice[9]};
}

PlannedProduct planned_product(cublasLtHandle_t handle, const ProductChoice& choice, int device) {
  const ProductShape shape = shape_of(choice);
  PlannedProduct planned = described_product(shape, device);
  AlgorithmWords words = {};
  std::copy(choice.begin() + 11, choice.end(), words.begin());
  planned.algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(words);
  cublasLtMatmulHeuristicResult_t result = {};
  check_product(cublasLtMatmulAlgoCheck(handle, &planned.description, &planned.b, &planned.a,
                                        &planned.out, &planned.out, &planned.algorithm, &result),
                "cublasLtMatmulAlgoCheck of the algorithm that rank 0 chose", shape, device);
  planned.workspace = std::max(static_cast<size_t>(choice[10]), result.workspaceSize);
  return planned;
}

}  // namespace bitmill
