#pragma once
// From a model's last outputs to logits, for the model of an evaluation.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/thread_pool.hpp"
#include "eval/whole_model.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Rows of logits [rows, vocab] at a time, for any number of threads. With a vocabulary of 128,000
// these are 66 MB.
inline constexpr int64_t rows_at_once = 128;

class EvalHead {
 public:
  // Loads the head; that of a whole model is there already. `like` as SourceModel::load_head().
  explicit EvalHead(const EvalModel& model, const HeadWeights& like = {});

  const HeadWeights& weights() const { return weights_; }  // empty for a whole model
  // x [T, hidden] -> [T, vocab] float32
  at::Tensor logits(const at::Tensor& x, ThreadPool& pool) const;

 private:
  const EvalModel model_;
  HeadWeights weights_;
};

}  // namespace bitmill
