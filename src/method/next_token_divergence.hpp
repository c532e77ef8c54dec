#pragma once
// How far the student's next-token distributions are from the teacher's: KL(teacher || student),
// in nats, mean over the tokens of a sample; and the way back to the last block's output.

#include <ATen/core/Tensor.h>

#include "base/thread_pool.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Holds the heads of both models, which stay as they are; one where they are the same. Logits exist
// for tokens_per_tile positions of a sample at a time (base/pieces.hpp), on every thread that works
// on one.
class NextTokenDivergence {
 public:
  // All arguments outlive it; the vocabularies are the same.
  NextTokenDivergence(const SourceModel& student, const SourceModel& teacher, ThreadPool& pool);

  // Of the outputs [T, hidden] of both last blocks, for one sample; finite or not. Where `gradient`
  // is given, it becomes d result / d student [T, hidden]. Safe from several threads.
  double operator()(const at::Tensor& student, const at::Tensor& teacher,
                    at::Tensor* gradient = nullptr) const;

 private:
  // The sum over positions; fills gradients [positions, embedding] of the student's head input
  // where it is given.
  double sum_of_tile(const at::Tensor& student_in, const at::Tensor& teacher_in, int64_t positions,
                     at::Tensor* gradient) const;

  const ModelConfig& student_config_;
  const ModelConfig& teacher_config_;
  const HeadWeights student_;
  const HeadWeights teacher_;
  ThreadPool& pool_;
};

}  // namespace bitmill
