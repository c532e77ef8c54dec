#pragma once
// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) without weight
// decay, on a slice of the flat tensor of learned values. Our own loop over adamw_element.hpp,
// compiled without contraction, so that its bits do not depend on how the tensor is cut.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/thread_pool.hpp"
#include "method/learned.hpp"
#include "method/settings.hpp"

namespace bitmill {

// The schedule multiplies every rate by this at step t (counted from 0) of `total_steps`: 1 when it
// is constant, else e + (1 - e) (1 + cos(pi t / total_steps)) / 2, where e is 0.05 for cosine and 0
// for cosine_to_zero.
double rate_factor(RateSchedule schedule, int64_t step, int64_t total_steps);

class AdamW {
 public:
  // For elements [begin, end) of the layout.
  AdamW(const LearnedLayout& layout, int64_t begin, int64_t end);

  // `sum` and `values` hold the slice's elements: [end - begin] float32 on the CPU. `sum` is the
  // sum of the gradients of `units` units; the update uses their mean. `steps` counts from 1. All
  // rates are multiplied by `factor`. Changes `values` in place.
  void step(int64_t steps, double factor, const at::Tensor& sum, int64_t units,
            const at::Tensor& values, ThreadPool& pool);

  // Moving averages of the slice's gradient and of its square. The caller saves and restores them.
  const at::Tensor& first_moment() const { return first_; }
  const at::Tensor& second_moment() const { return second_; }

 private:
  struct Range {
    int64_t begin, end;  // within the slice
    double rate;
  };
  std::vector<Range> ranges_;  // pieces for one task each
  const at::Tensor first_, second_;
};

}  // namespace bitmill
