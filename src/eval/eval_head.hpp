#pragma once
// From a model's last outputs to logits, for the model of an evaluation.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "device/device.hpp"
#include "eval/whole_model.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Rows of logits [rows, vocab] at a time, for any number of threads. With a vocabulary of 128,000
// these are 66 MB.
inline constexpr int64_t rows_at_once = 128;

class EvalHead {
 public:
  // Loads the head and brings it to the device; that of a whole model is there already. `like` as
  // SourceModel::load_head(). The device outlives the head.
  EvalHead(const EvalModel& model, const Device& device, const HeadWeights& like = {});

  const HeadWeights& weights() const { return weights_; }  // on the host; empty for a whole model
  // x [T, hidden] -> [T, vocab], float32 on the host
  at::Tensor logits(const at::Tensor& x) const;

 private:
  const EvalModel model_;
  const Device& device_;
  HeadWeights weights_;
  HeadWeights device_weights_;
};

}  // namespace bitmill
