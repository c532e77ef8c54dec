#include "device/product.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cublasLt.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "device/cuda_matrix_lines.hpp"
#include "device/cuda_product_choice.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

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
    PlannedProduct planned = plan(shape);
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
      all += fmt::format("cuda:{}, {}: {}\n", device_, shape.words(), algorithm_words(planned));
    }
    return all;
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    planned_.clear();
  }
  std::string table() {
    const std::lock_guard lock(mutex_);
    std::string bytes;
    for (const auto& [shape, planned] : planned_) {
      const ProductChoice choice = choice_of(shape, planned);
      bytes.append(reinterpret_cast<const char*>(choice.data()), sizeof(choice));
    }
    return bytes;
  }
  void keep_to(std::string_view table) {
    const std::lock_guard lock(mutex_);
    BITMILL_CHECK(table.size() % sizeof(ProductChoice) == 0, DeviceError,
                  fmt::format("a table of algorithms of {} bytes came to cuda:{}, which is no "
                              "multiple of {}",
                              table.size(), device_, sizeof(ProductChoice)));
    planned_.clear();
    for (size_t at = 0; at < table.size(); at += sizeof(ProductChoice)) {
      ProductChoice choice;
      std::memcpy(choice.data(), table.data() + at, sizeof(choice));
      const ProductShape shape = shape_of(choice);
      planned_.emplace(shape, planned_product(handle_for(shape), choice, device_));
    }
    ++keepers_;
  }
  void choose_freely() {
    const std::lock_guard lock(mutex_);
    --keepers_;
  }

 private:
  PlannedProduct plan(const ProductShape& shape) {
    const std::lock_guard lock(mutex_);
    const auto found = planned_.find(shape);
    if (found != planned_.end()) return found->second;
    BITMILL_CHECK(keepers_ == 0, DeviceError,
                  fmt::format("a product on cuda:{} for which the ranks have agreed on no "
                              "algorithm: {}; this is a mistake of bitmill: please report it",
                              device_, shape.words()));
    PlannedProduct planned = described_product(shape, device_);
    choose_algorithm(handle_for(shape), shape, device_, planned);
    return planned_.emplace(shape, planned).first->second;
  }

  cublasLtHandle_t handle_for(const ProductShape& shape) {
    if (handle_.get() == nullptr) {
      cublasLtHandle_t handle = nullptr;
      check_product(cublasLtCreate(&handle), "cublasLtCreate", shape, device_);
      handle_ = UniqueHandle<LtHandle>(handle);
    }
    return handle_.get();
  }

  const int device_;
  std::mutex mutex_;
  UniqueHandle<LtHandle> handle_;
  std::map<ProductShape, PlannedProduct> planned_;
  int keepers_ = 0;  // calls of keep_to() that have not ended: ranks of this process share a device
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

namespace {

PlannedProducts& products_of(at::Device gpu) { return products_of_devices().of(gpu.index()); }

}  // namespace

void forget_algorithms(at::Device gpu) { products_of(gpu).forget(); }

std::string algorithm_table(at::Device gpu) { return products_of(gpu).table(); }

void clear_away(at::Device gpu) {
  c10::cuda::CUDACachingAllocator::emptyCache();
  c10::cuda::CUDACachingAllocator::resetPeakStats(gpu.index());
}

void keep_to_algorithms(at::Device gpu, std::string_view table) {
  const c10::cuda::CUDAGuard guard(gpu);
  products_of(gpu).keep_to(table);
}

void choose_algorithms_freely(at::Device gpu) { products_of(gpu).choose_freely(); }

}  // namespace bitmill
