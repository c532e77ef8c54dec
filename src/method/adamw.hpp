#pragma once
// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) without weight
// decay, on a slice of the flat vector of learned values. Our own loop, compiled without
// contraction, so that its bits do not depend on how the vector is cut.

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.hpp"
#include "method/learned.hpp"

namespace bitmill {

// What a rate is taken times at step t, counted from 0, of `total_steps`: 1, or
// e + (1 - e) (1 + cos(pi t / total_steps)) / 2, where e is 0.05 or 0.
double rate_factor(RateSchedule schedule, int64_t step, int64_t total_steps);

class AdamW {
 public:
  // For elements [begin, end) of the layout.
  AdamW(const LearnedLayout& layout, int64_t begin, int64_t end);

  // values and gradient hold the slice's elements, end - begin of them. `steps` counts from 1; all
  // rates are taken times `factor`.
  void step(int64_t steps, double factor, std::span<const float> gradient, std::span<float> values,
            ThreadPool& pool);

  // Moving averages of the gradient and of its square, of the slice; to be saved and restored.
  std::vector<float>& first_moment() { return first_; }
  std::vector<float>& second_moment() { return second_; }

 private:
  struct Range {
    int64_t begin, end;  // within the slice
    double rate;
  };
  std::vector<Range> ranges_;  // pieces for one task each
  std::vector<float> first_;
  std::vector<float> second_;
};

}  // namespace bitmill
