#pragma once
// A weight that is ready to be multiplied many times: what a decoder holds of a linear or a head.
//
// It is made once, at load, and does not change. The numbers that come out depend on the weight,
// x and the activations' precision only: never on the number of tokens in a call, on threads, or on
// the kernel that computes them.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/thread_pool.hpp"
#include "product/cpu_kernel.hpp"
#include "product/weight_memory.hpp"

namespace bitmill {

// How precisely a product takes its input. int8 and int16: x is rounded to whole numbers times a
// scale, one scale per token (packed: one for its low and one for its salient columns), and the sum
// is exact. float32: x is taken as it is; the sum is rounded, in one fixed order.
enum class Activations { int8, int16, float32 };

// "int8", "int16", "float32".
std::string_view activations_name(Activations activations);

struct ProductOptions {
  Activations activations = Activations::int8;
  const CpuKernel* kernel = nullptr;  // from choose_cpu_kernel()
  // Where weights are put: one for all products of a model, so that small ones share huge pages.
  std::shared_ptr<WeightMemory> memory;
};

class Product {
 public:
  virtual ~Product() = default;

  virtual int64_t rows() const = 0;  // out features
  virtual int64_t cols() const = 0;  // in features

  // Bytes of memory that it holds: weight, scales, tables.
  virtual int64_t resident_bytes() const = 0;
  // Of these, what one token's product reads: for bytes per second.
  virtual int64_t weight_bytes() const = 0;

  // y[t, i] = sum over j of weight[i, j] x[t, j]. x: [tokens, cols], y: [tokens, rows], both
  // row-major without gaps; y is overwritten. Any number of tokens, 0 included. Safe from several
  // threads. The caller works too; blocks until all is done. NumericError naming token and weight
  // when x holds a number that is not finite and the activations are int8 or int16.
  virtual void multiply(std::span<const float> x, int64_t tokens, std::span<float> y,
                        ThreadPool& pool) const = 0;
};

}  // namespace bitmill
