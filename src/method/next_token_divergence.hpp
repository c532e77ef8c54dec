#pragma once
// How far the student's next-token distributions are from the teacher's: KL(teacher || student), in
// nats, the mean over the tokens of a sample. Also its gradient for the last block's output.

#include <ATen/core/Tensor.h>

#include "base/thread_pool.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Holds the heads of both models, which do not change; equal matrices are held once. A thread that
// works on a sample holds the logits of tokens_per_tile of its positions at a time
// (base/pieces.hpp).
class NextTokenDivergence {
 public:
  // All arguments outlive it; the vocabularies are the same.
  NextTokenDivergence(const SourceModel& student, const SourceModel& teacher, ThreadPool& pool);

  // The divergence of one sample, from the outputs [T, hidden] of both last blocks. It may be not
  // finite: the caller checks. When `gradient` is given, it becomes d result / d student
  // [T, hidden]. Safe from several threads.
  double operator()(const at::Tensor& student, const at::Tensor& teacher,
                    at::Tensor* gradient = nullptr) const;

 private:
  // The sum over `positions` positions. When `gradient` is given, fills it with the gradient of the
  // student's head input, [positions, embedding].
  double sum_of_tile(const at::Tensor& student_in, const at::Tensor& teacher_in, int64_t positions,
                     at::Tensor* gradient) const;

  const ModelConfig& student_config_;
  const ModelConfig& teacher_config_;
  const HeadWeights student_;
  const HeadWeights teacher_;
  ThreadPool& pool_;
};

}  // namespace bitmill
