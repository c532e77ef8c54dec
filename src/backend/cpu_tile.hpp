#pragma once
// What the cpu backend holds of a linear, and one tile of a sample's tokens that it works on.

#include <ATen/core/Tensor.h>

#include "backend/backend.hpp"
#include "backend/cpu_loops.hpp"
#include "backend/learned_parts.hpp"

namespace bitmill {

struct CpuPrepared {
  FrozenLinear frozen;  // without signs and codes
  LearnedParts parts;
  at::ScalarType operand;  // of signs and four_bit
  at::Tensor signs;        // [rows, padded low]; learned ones as take_signs() last set them
  at::Tensor four_bit;     // [rows, padded salient], s (q - z); only q - z where scales_after()
  ThreadPool& pool;

  CpuPrepared(const FrozenLinear& linear, const LearnedNames& learned, at::ScalarType operand_type,
              ThreadPool& threads);
  // Whether s is multiplied to the product instead of the codes: where it is learned, and where the
  // operand would round it.
  bool scales_after() const { return parts.code_scales || operand != at::kFloat; }
  void take_signs(const at::Tensor& latents);

  int64_t low() const { return frozen.low_columns.size(0); }
  int64_t salient() const { return frozen.salient_columns.size(0); }
};

// Views of one tile, in the form that the loops need.
class CpuTile {
 public:
  // Tokens [first, first + count) of x.
  CpuTile(const CpuPrepared& linear, const at::Tensor& x, const at::Tensor& col_gain, int64_t first,
          int64_t count);

  int64_t tokens() const { return count_; }
  at::Tensor narrow(const at::Tensor& all) const { return all.narrow(0, first_, count_); }
  float* part(const at::Tensor& all) const {
    return all.data_ptr<float>() + first_ * all.stride(0);
  }
  at::Tensor scratch(int64_t columns) const;
  const cpu_loops::GatherInput& gather_input() const { return gather_; }

  cpu_loops::CombineInput combine_input(const at::Tensor& low_product, const at::Tensor& low_sum,
                                        const at::Tensor& row_factor,
                                        const at::Tensor& mean_factor) const;

 private:
  const CpuPrepared& linear_;
  int64_t first_;
  int64_t count_;
  cpu_loops::GatherInput gather_;
};

}  // namespace bitmill
