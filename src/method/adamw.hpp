#pragma once
// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019) without weight
// decay, on a slice of the flat tensor of learned values. Our own loop over adamw_element.hpp, and
// on a GPU a kernel over the same function. Both are compiled without contraction, so that the bits
// depend neither on how the tensor is cut nor on where it is.

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
  // For elements [begin, end) of the layout, with moments on `device`.
  AdamW(const LearnedLayout& layout, int64_t begin, int64_t end, at::Device device = at::kCPU);

  // `sum` and `values` hold the slice's elements: [end - begin] float32, contiguous, on `device`.
  // `sum` is the sum of the gradients of `units` units; the update uses their mean, and 0 outside
  // of a segment's window. `steps` counts from 1. All rates are multiplied by `factor`. Changes
  // `values` in place; on a GPU it is queued on the calling thread's stream.
  void step(int64_t steps, double factor, const at::Tensor& sum, int64_t units,
            const at::Tensor& values, ThreadPool& pool);

  // Moving averages of the slice's gradient and of its square, on the device. The caller saves and
  // restores them.
  const at::Tensor& first_moment() const { return first_; }
  const at::Tensor& second_moment() const { return second_; }

 private:
  // Elements [begin, end) of the slice, which have one rate and one window; one task.
  struct Range {
    int64_t begin, end;
    double rate;
    float window;
  };
  // The numbers of one step that are the same for all elements.
  struct Numbers {
    double factor, correction1;     // 1 - beta1^t
    float units, root_correction2;  // sqrt(1 - beta2^t)
  };
  void step_on_host(const Numbers& numbers, const at::Tensor& sum, const at::Tensor& values,
                    ThreadPool& pool);
  void step_on_gpu(const Numbers& numbers, const at::Tensor& sum, const at::Tensor& values);

  std::vector<Range> ranges_;
  const at::Tensor first_, second_;
  at::Tensor gpu_pieces_;  // on a GPU: kernels::AdamWPiece [pieces], as bytes
};

}  // namespace bitmill
