#pragma once
// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) without weight
// decay, on a slice of the flat vector of learned values. Our own loop, compiled without
// contraction, so that its bits do not depend on how the vector is cut.

#include <cstdint>
#include <span>
#include <vector>

#include "method/learned.hpp"

namespace bitmill {

class AdamW {
 public:
  // For elements [begin, end) of the layout.
  AdamW(const LearnedLayout& layout, int64_t begin, int64_t end);

  // values and gradient hold the slice's elements, end - begin of them. `steps` counts from 1.
  void step(int64_t steps, std::span<const float> gradient, std::span<float> values);

  // Moving averages of the gradient and of its square, of the slice; to be saved and restored.
  std::vector<float>& first_moment() { return first_; }
  std::vector<float>& second_moment() { return second_; }

 private:
  struct Range {
    int64_t begin, end;  // within the slice
    double rate;
  };
  std::vector<Range> ranges_;
  std::vector<float> first_;
  std::vector<float> second_;
};

}  // namespace bitmill
