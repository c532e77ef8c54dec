#include "device/product.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/cuda/CUDAGuard.h>
#include <cublasLt.h>
#include <fmt/format.h>

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "device/cuda_matrix_lines.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

// What an algorithm may use beside its operands: what NVIDIA recommends for Hopper. It is a limit.
// The memory is the caching allocator's, which gives it out again in the order of the stream.
constexpr uint64_t most_workspace = uint64_t{32} << 20;

// What the algorithm, and so the bits of a product, depends on.
struct ProductShape {
  int64_t m, n, k;
  at::ScalarType in, out;
  bool a_by_columns, b_by_columns;
  int64_t a_stride, b_stride, out_stride;

  auto operator<=>(const ProductShape&) const = default;

  std::string words() const {
    const auto matrix = [](at::ScalarType type, int64_t rows, int64_t cols, bool by_columns,
                           int64_t stride) {
      return fmt::format("{} [{}, {}] in {} {} apart", type == at::kFloat ? "float32" : "bfloat16",
                         rows, cols, by_columns ? "columns" : "rows", stride);
    };
    return fmt::format("{} = {} times {}", matrix(out, m, n, false, out_stride),
                       matrix(in, m, k, a_by_columns, a_stride),
                       matrix(in, k, n, b_by_columns, b_stride));
  }
};

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

void check_product(cublasStatus_t status, std::string_view call, const ProductShape& shape,
                   int device) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(fmt::format("cublasLt: {} ({}) from {} on cuda:{}, {}{}",
                                cublasLtGetStatusName(status), cublasLtGetStatusString(status),
                                call, device, shape.words(), advice_for_product(status)));
}

// A product that is ready to be queued. cublasLt stores matrices by columns, so it multiplies the
// transposed ones: out' = b' a'.
struct PlannedProduct {
  cublasLtMatmulDescOpaque_t description = {};
  cublasLtMatrixLayoutOpaque_t b = {}, a = {}, out = {};
  cublasLtMatmulAlgo_t algorithm = {};
  size_t workspace = 0;
};

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

struct LtHandle {
  using Type = cublasLtHandle_t;
  static Type null() { return nullptr; }
  static void destroy(Type handle) { cublasLtDestroy(handle); }
};

// The products of one device, planned so far.
class PlannedProducts {
 public:
  explicit PlannedProducts(int device) : device_(device) {}

  void run(const Lines& out, const Lines& a, const Lines& b, bool accumulate) {
    const ProductShape shape{a.matrix.size(0),
                             b.matrix.size(1),
                             a.matrix.size(1),
                             a.matrix.scalar_type(),
                             out.matrix.scalar_type(),
                             a.by_columns,
                             b.by_columns,
                             a.stride,
                             b.stride,
                             out.stride};
    PlannedProduct& planned = plan(shape, out, a, b);
    at::Tensor workspace;
    if (planned.workspace > 0) {
      workspace = at::empty({static_cast<int64_t>(planned.workspace)},
                            out.matrix.options().dtype(at::kByte));
    }
    const float one = 1, old = accumulate ? 1 : 0;
    void* const into = out.matrix.data_ptr();
    check_product(
        cublasLtMatmul(handle_.get(), &planned.description, &one, b.matrix.const_data_ptr(),
                       &planned.b, a.matrix.const_data_ptr(), &planned.a, &old, into, &planned.out,
                       into, &planned.out, &planned.algorithm,
                       workspace.defined() ? workspace.data_ptr() : nullptr, planned.workspace,
                       stream_of(out.matrix)),
        "cublasLtMatmul", shape, device_);
  }

  std::string lines() {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& [shape, planned] : planned_) {
      const auto number = [&](cublasLtMatmulAlgoConfigAttributes_t name) {
        return algorithm_value<uint32_t>(planned.algorithm, name);
      };
      all +=
          fmt::format("cuda:{}, {}: algorithm {}, tile {}, stages {}, splits {}, workspace {}\n",
                      device_, shape.words(), number(CUBLASLT_ALGO_CONFIG_ID),
                      number(CUBLASLT_ALGO_CONFIG_TILE_ID), number(CUBLASLT_ALGO_CONFIG_STAGES_ID),
                      number(CUBLASLT_ALGO_CONFIG_SPLITK_NUM), planned.workspace);
    }
    return all;
  }

 private:
  PlannedProduct& plan(const ProductShape& shape, const Lines& out, const Lines& a,
                       const Lines& b) {
    const std::lock_guard lock(mutex_);
    const auto found = planned_.find(shape);
    if (found != planned_.end()) return found->second;
    if (handle_.get() == nullptr) {
      cublasLtHandle_t handle = nullptr;
      check_product(cublasLtCreate(&handle), "cublasLtCreate", shape, device_);
      handle_ = UniqueHandle<LtHandle>(handle);
    }
    PlannedProduct planned = described(shape, out, a, b);
    choose_algorithm(shape, planned);
    return planned_.emplace(shape, planned).first->second;
  }

  PlannedProduct described(const ProductShape& shape, const Lines& out, const Lines& a,
                           const Lines& b) const {
    PlannedProduct planned;
    check_product(cublasLtMatmulDescInit(&planned.description, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                  "cublasLtMatmulDescInit", shape, device_);
    const auto transpose = [&](cublasLtMatmulDescAttributes_t which, const Lines& operand) {
      const cublasOperation_t operation = operand.by_columns ? CUBLAS_OP_T : CUBLAS_OP_N;
      check_product(cublasLtMatmulDescSetAttribute(&planned.description, which, &operation,
                                                   sizeof(operation)),
                    "cublasLtMatmulDescSetAttribute", shape, device_);
    };
    transpose(CUBLASLT_MATMUL_DESC_TRANSA, b);
    transpose(CUBLASLT_MATMUL_DESC_TRANSB, a);
    const auto layout = [&](cublasLtMatrixLayoutOpaque_t& made, const Lines& lines) {
      const cudaDataType type = lines.matrix.scalar_type() == at::kFloat ? CUDA_R_32F : CUDA_R_16BF;
      check_product(cublasLtMatrixLayoutInit(&made, type, static_cast<uint64_t>(lines.length()),
                                             static_cast<uint64_t>(lines.count()), lines.stride),
                    "cublasLtMatrixLayoutInit", shape, device_);
    };
    layout(planned.b, b);
    layout(planned.a, a);
    layout(planned.out, out);
    return planned;
  }

  // The first of cublasLt's list, which is the fastest by its estimate, that keeps its order.
  void choose_algorithm(const ProductShape& shape, PlannedProduct& planned) const {
    cublasLtMatmulPreferenceOpaque_t wish = {};
    check_product(cublasLtMatmulPreferenceInit(&wish), "cublasLtMatmulPreferenceInit", shape,
                  device_);
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t name, auto value) {
      check_product(cublasLtMatmulPreferenceSetAttribute(&wish, name, &value, sizeof(value)),
                    "cublasLtMatmulPreferenceSetAttribute", shape, device_);
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
    check_product(
        cublasLtMatmulAlgoGetHeuristic(handle_.get(), &planned.description, &planned.b, &planned.a,
                                       &planned.out, &planned.out, &wish,
                                       static_cast<int>(results.size()), results.data(), &count),
        "cublasLtMatmulAlgoGetHeuristic", shape, device_);
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
        count, device_, shape.words()));
  }

  const int device_;
  std::mutex mutex_;
  UniqueHandle<LtHandle> handle_;
  std::map<ProductShape, PlannedProduct> planned_;  // nothing is taken out
};

// Made when a device is first used, and there until the process ends.
class ProductsOfDevices {
 public:
  PlannedProducts& of(int device) {
    const std::lock_guard lock(mutex_);
    return devices_.try_emplace(device, device).first->second;
  }
  std::string lines() {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (auto& [device, products] : devices_) all += products.lines();
    return all;
  }

 private:
  std::mutex mutex_;
  std::map<int, PlannedProducts> devices_;
};

ProductsOfDevices& products_of_devices() {
  static ProductsOfDevices all;
  return all;
}

void check_operands(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  const auto words = [](const at::Tensor& one) {
    return fmt::format("{} [{}] on {}", at::toString(one.scalar_type()),
                       fmt::join(one.sizes().begin(), one.sizes().end(), ", "), one.device().str());
  };
  const bool two_dimensions = out.dim() == 2 && a.dim() == 2 && b.dim() == 2;
  const bool sizes_fit = two_dimensions && out.size(0) == a.size(0) && out.size(1) == b.size(1) &&
                         a.size(1) == b.size(0);
  const at::ScalarType in = a.scalar_type(), to = out.scalar_type();
  const bool types_fit = b.scalar_type() == in && (in == at::kFloat || in == at::kBFloat16) &&
                         (to == in || to == at::kFloat);
  const bool one_device = out.is_cuda() && a.device() == out.device() && b.device() == out.device();
  BITMILL_CHECK(sizes_fit && types_fit && one_device, DeviceError,
                fmt::format("a product of matrices that do not fit: {} = {} times {}", words(out),
                            words(a), words(b)));
}

}  // namespace

void product_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                  bool accumulate) {
  check_operands(out, a, b);
  if (out.numel() == 0) return;
  const at::NoGradGuard no_grad;
  const c10::cuda::CUDAGuard guard(out.device());
  if (a.size(1) == 0) {
    if (!accumulate) out.zero_();
    return;
  }
  const std::optional<Lines> in_place = lines_in_place(out);
  const Lines to = in_place ? *in_place : aligned_like(out);
  if (!in_place && accumulate) to.matrix.copy_(out);
  PlannedProducts& products = products_of_devices().of(out.device().index());
  const Lines left = lines_of(a), right = lines_of(b);
  if (to.by_columns) {
    products.run(to.transposed(), right.transposed(), left.transposed(), accumulate);
  } else {
    products.run(to, left, right, accumulate);
  }
  if (!in_place) out.copy_(to.matrix);
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options().requires_grad(false));
  product_into(out, a, b);
  return out;
}

at::Tensor product_in_float32(const at::Tensor& a, const at::Tensor& b) {
  const at::TensorOptions options = a.options().requires_grad(false).dtype(at::kFloat);
  at::Tensor out = at::empty({a.size(0), b.size(1)}, options);
  product_into(out, a, b);
  return out;
}

std::string chosen_algorithms() { return products_of_devices().lines(); }

}  // namespace bitmill
