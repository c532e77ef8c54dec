#pragma once
// The numeric operations of the method that have more than one implementation. `reference` is
// plain libtorch and defines the truth; fast backends are tested against it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/learned_linear.hpp"
#include "base/thread_pool.hpp"
#include "device/device.hpp"

namespace bitmill {

// A quantized linear before it is trained: on the host, or all but its columns on one GPU. float32
// unless said otherwise. low + salient = cols; either may be 0. A learned value begins with what is
// here; from then on its value is in LearnedLinear.
//
// On a GPU signs and codes are packed words (format/packed_layout.hpp), in int32: an eighth and a
// half of the bytes, and what is stored in the end.
struct FrozenLinear {
  int64_t rows = 0;
  int64_t cols = 0;
  at::Tensor low_columns;      // int64 [low], ascending; on the host
  at::Tensor salient_columns;  // int64 [salient], ascending; on the host
  // int8 [rows, low], -1 or +1; on a GPU [rows, words_for(low, 32)]. Undefined where learned.
  at::Tensor signs;
  at::Tensor row_mean;    // [rows], mu
  at::Tensor codes;       // uint8 [rows, salient], 0 .. 15; on a GPU [rows, words_for(salient, 8)]
  at::Tensor code_scale;  // [rows]
  at::Tensor code_zero;   // [rows], whole numbers 0 .. 15
};

// The numbers in an int64 tensor of columns on the host, which still owns them.
inline std::span<const int64_t> numbers_of(const at::Tensor& columns) {
  return {columns.const_data_ptr<int64_t>(), static_cast<size_t>(columns.numel())};
}

// The student's linear, ready for many steps. Safe from several threads. It must outlive all
// backward passes through outputs of forward().
class StudentLinear {
 public:
  virtual ~StudentLinear() = default;

  // Takes what is learned for all forward() calls that follow: the signs of the latents, if there
  // are any, and what can be computed once for all samples. To be called before the first forward()
  // and whenever learned values have changed, but not during forward() or a backward pass.
  virtual void begin_step(const LearnedLinear& learned) = 0;

  // x [T, cols] -> y [T, rows] (METHOD.md, "The factored form"):
  //   y_i = r1_i (alpha_i (S x^)_i + mu_i sum_j x^_j) + s_i ((q - z) x_salient)_i,
  //   x^ = r2 * x_low.
  // Differentiable in x and in what is learned; gradients go straight through the signs. `learned`
  // must have the values that it had at the last begin_step(). The gradient of latents goes to
  // their gradient_place(). A backend may leave out the window of learned signs there (the cuda
  // backend does, to save a pass over memory for every sample): who steps applies it to the sum, as
  // AdamW does. Applying it twice changes nothing.
  virtual at::Tensor forward(const at::Tensor& x, const LearnedLinear& learned) const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;
  // `learned`: the names of all that is learned of the linear. `pool` must outlive the result.
  virtual std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen,
                                                 const LearnedNames& learned,
                                                 ThreadPool& pool) const = 0;
};

// "reference" or "cpu", the backends of the host. UsageError for any other name.
std::unique_ptr<Backend> make_backend(const std::string& name);
// The same, and "cuda" for a device that is a GPU.
std::unique_ptr<Backend> make_backend(const std::string& name, const Device& device);

// Plain libtorch: builds the dequantized weight at every step and lets autograd do the rest.
std::unique_ptr<Backend> reference_backend();

// The factored form: two matrix products per linear and step, and a third where signs are learned.
// `operand` is the type of what products take, float32 or bfloat16 (host_product.hpp); all else is
// float32. A linear holds its signs and its 4-bit values in it, 4 or 2 bytes per weight, for as
// long as it lives. It holds nothing else of that size: no dequantized low part, and no gradient of
// a weight. The gradient of the latents, which is as large, is written to the caller's memory.
std::unique_ptr<Backend> cpu_backend(at::ScalarType operand = at::kFloat);

// The factored form on one GPU, by the kernels and cublasLt products of kernels/STEP.md. `element`,
// float32 or bfloat16, is the type of activations, of products, and of signs and codes, which take
// as many bytes per weight for as long as a linear lives. prepare() takes a FrozenLinear on the
// device or on the host, and copies what it needs. x of forward() is [T, cols] of `element` on the
// device, and so is y; what is learned, its gradients and gradient places are float32 there. All
// work is queued on the calling thread's stream. begin_step() must have been called before,
// whatever is learned. Two calls with the same values give the same bits. DeviceError with CUDA's
// or cublasLt's words.
std::unique_ptr<Backend> cuda_backend(at::Device device, at::ScalarType element);

}  // namespace bitmill
