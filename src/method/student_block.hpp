#pragma once
// A block in training: frozen parts ready for the backend, and the gradient of one sample, of a
// loss of the block's own or of one that lies further on.

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "method/grid.hpp"
#include "method/learned.hpp"
#include "model/block_forward.hpp"

namespace bitmill {

// One linear of a block: quantized, or kept as it is.
struct BlockLinear {
  InitialLinear initial;  // unused when kept
  at::Tensor kept;        // float32 [rows, cols]; undefined when quantized

  bool quantized() const { return !kept.defined(); }
};

// What a student is trained on, of one sample: [T, hidden] float32 each.
struct TrainingSample {
  at::Tensor input;       // Q_l
  at::Tensor normal;      // Y_norm
  at::Tensor homologous;  // Y_homo
};

class StudentBlock {
 public:
  // `linears` as block_linears(); `layout` is over the quantized ones, in order. All arguments that
  // are references must outlive the student.
  StudentBlock(const ModelConfig& config, BlockVectors vectors,
               std::span<const BlockLinear> linears, const LearnedLayout& layout,
               const LossSettings& loss, const Backend& backend, const Rotary& rotary,
               ThreadPool& pool);

  // Learned values are flat, [layout.size()] float32, and so are gradients.

  // Before the first pass and whenever learned values have changed; not at the same time as one.
  void begin_step(const at::Tensor& learned);

  // The unit of summation: the gradient of this one sample's loss, computed alone. Fills all of
  // `gradient`, gaps with 0, and the one element of `loss` (float32), finite or not. Safe from
  // several threads.
  void unit_gradient(const TrainingSample& sample, const at::Tensor& learned,
                     const at::Tensor& gradient, const at::Tensor& loss) const;

  // The output [T, hidden] for x [T, hidden], with unrounded learned values; no gradient. Safe from
  // several threads, like what follows.
  at::Tensor output(const at::Tensor& x, const at::Tensor& learned) const;
  // Back from the gradient of output(x, learned), [T, hidden], whose way is walked once more:
  // `gradient` as unit_gradient() leaves it. Returns the gradient of x; undefined unless wanted.
  at::Tensor backward(const at::Tensor& x, const at::Tensor& output_gradient,
                      const at::Tensor& learned, const at::Tensor& gradient,
                      bool wants_input) const;

 private:
  // [T, hidden], with unrounded learned values.
  at::Tensor forward(const at::Tensor& x, const std::vector<LearnedLinear>& learned) const;

  const ModelConfig& config_;
  const BlockVectors vectors_;
  const LearnedLayout& layout_;
  const LossSettings loss_;
  const Rotary& rotary_;
  ThreadPool& pool_;
  std::vector<std::unique_ptr<StudentLinear>> students_;  // of quantized linears
  std::vector<int> student_of_;                           // of every linear; -1: kept
  std::vector<at::Tensor> kept_;                          // of every linear
};

}  // namespace bitmill
