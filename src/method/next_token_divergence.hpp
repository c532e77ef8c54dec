#pragma once
// How far the student's next-token distributions are from the teacher's: KL(teacher || student), in
// nats, the mean over the tokens of a sample. Also its gradient for the last block's output.

#include <ATen/core/Tensor.h>

#include "base/thread_pool.hpp"
#include "device/device.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Holds the heads of both models, which do not change; equal matrices are held once. A thread that
// works on a sample holds the logits of tokens_per_tile of its positions at a time
// (base/pieces.hpp).
class NextTokenDivergence {
 public:
  struct Heads {
    HeadWeights student, teacher;
  };
  // All arguments outlive it; the vocabularies are the same.
  NextTokenDivergence(const SourceModel& student, const SourceModel& teacher, ThreadPool& pool);
  // With the heads on this device, for outputs that are there. The device need not outlive it; its
  // threads must.
  NextTokenDivergence(const SourceModel& student, const SourceModel& teacher, const Device& device);
  // With heads that are given.
  NextTokenDivergence(const ModelConfig& student, const ModelConfig& teacher, Heads heads,
                      ThreadPool& pool);

  // The divergence of one sample, from the outputs [T, hidden] of both last blocks. It may be not
  // finite: the caller checks. When `gradient` is given, it becomes d result / d student
  // [T, hidden]. Safe from several threads on a CPU. On a GPU the tiles follow one another, and it
  // waits once.
  double operator()(const at::Tensor& student, const at::Tensor& teacher,
                    at::Tensor* gradient = nullptr) const;

 private:
  static Heads load_heads(const SourceModel& student, const SourceModel& teacher);
  static Heads bring(const Heads& heads, const Device& device);

  // The divergence of every position of a tile: [positions] float32. When `gradient` is given,
  // fills it with the gradient of the student's head input, [positions, embedding]; `all_positions`
  // is that of the sample.
  at::Tensor of_tile(const at::Tensor& student_in, const at::Tensor& teacher_in,
                     int64_t all_positions, at::Tensor* gradient) const;

  const ModelConfig& student_config_;
  const ModelConfig& teacher_config_;
  const Heads heads_;
  ThreadPool& pool_;
};

}  // namespace bitmill
