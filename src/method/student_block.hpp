#pragma once
// A block in training: its frozen parts, ready for the backend, and the gradient of one sample. The
// gradient is of the block's own loss, or comes back from a loss behind later blocks.
//
// Something is learned of a linear that is quantized (its scales, ...), and of one that is adapted:
// a dense weight that is kept, with an adapter beside it.

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "method/adapted_linear.hpp"
#include "method/grid.hpp"
#include "method/learned.hpp"
#include "model/block_forward.hpp"

namespace bitmill {

// One linear of a block: quantized, or kept as it is, perhaps with an adapter.
struct BlockLinear {
  InitialLinear initial = {};           // unused when kept
  at::Tensor kept = {};                 // float32 [rows, cols]; undefined when quantized
  std::optional<Adapter> adapter = {};  // only where it is kept

  bool quantized() const { return !kept.defined(); }
  bool learns() const { return quantized() || adapter; }
};

// One sample that a student is trained on: [T, hidden] float32 each.
struct TrainingSample {
  at::Tensor input;       // Q_l
  at::Tensor normal;      // Y_norm
  at::Tensor homologous;  // Y_homo
};

class StudentBlock {
 public:
  // `linears` are in the order of block_linears(); `layout` is of those that learn, in the same
  // order. All arguments that are references must outlive the student.
  StudentBlock(const ModelConfig& config, BlockVectors vectors,
               std::span<const BlockLinear> linears, const LearnedLayout& layout,
               const LossSettings& loss, const Backend& backend, const Rotary& rotary,
               ThreadPool& pool);

  // Learned values are flat, [layout.size()] float32, and so are gradients.

  // To be called before the first pass and whenever learned values have changed, but not during a
  // pass.
  void begin_step(const at::Tensor& learned);

  // Computes one unit: the gradient of this sample's loss. Fills all of `gradient` (gaps with 0)
  // and the one element of `loss` (float32), which may be not finite. Safe from several threads.
  void unit_gradient(const TrainingSample& sample, const at::Tensor& learned,
                     const at::Tensor& gradient, const at::Tensor& loss) const;

  // The output [T, hidden] for x [T, hidden], with unrounded learned values; no gradient. `draw`:
  // of the dropout of adapters. Safe from several threads, and so is backward().
  at::Tensor output(const at::Tensor& x, const at::Tensor& learned, const Draw& draw = {}) const;
  // The backward pass for a given gradient of output(x, learned, draw), [T, hidden]. The forward
  // pass is computed once more for it. Fills `gradient` as unit_gradient() does. Returns the
  // gradient of x [T, hidden], or an undefined tensor when wants_input is false.
  at::Tensor backward(const at::Tensor& x, const at::Tensor& output_gradient,
                      const at::Tensor& learned, const at::Tensor& gradient, bool wants_input,
                      const Draw& draw = {}) const;

 private:
  // [T, hidden], with unrounded learned values.
  at::Tensor forward(const at::Tensor& x, const std::vector<LearnedLinear>& learned,
                     const Draw& draw = {}) const;

  const ModelConfig& config_;
  const BlockVectors vectors_;
  const LearnedLayout& layout_;
  const LossSettings loss_;
  const Rotary& rotary_;
  ThreadPool& pool_;
  // Of the linears that learn; null where it is an adapted one.
  std::vector<std::unique_ptr<StudentLinear>> students_;
  struct Linear {
    int learns = -1;  // its number among those that learn; -1: none of them
    at::Tensor kept;
    std::optional<Adapter> adapter;
  };
  std::vector<Linear> linears_;
};

}  // namespace bitmill
