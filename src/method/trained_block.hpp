#pragma once
// A block of a packed model of which something is learned end to end, together with the other
// blocks: its scales (tuned_block.hpp), or whatever else a job trains. The walk through the stages
// (pipeline/tuning) knows blocks by this interface alone.

#include <ATen/core/Tensor.h>

#include <memory>

#include "backend/backend.hpp"
#include "method/learned.hpp"
#include "method/student_block.hpp"
#include "model/block_forward.hpp"

namespace bitmill {

// Flat tensors are [layout().size()] float32, on the device of the block. What is trained may
// differ from the learned values that the backend takes: tune trains factors of scales.
class TrainedBlock {
 public:
  virtual ~TrainedBlock() = default;

  virtual const LearnedLayout& layout() const = 0;
  // What is trained, before the first step. The caller owns it.
  virtual at::Tensor first() const = 0;
  // In place: turns what is trained into learned values, and a gradient of learned values into a
  // gradient of what is trained.
  virtual void scale(const at::Tensor& flat) const = 0;

  // The block with operands on the device, which are large: at most one should live at a time. They
  // are ready for passes with `values`, learned values.
  virtual std::unique_ptr<StudentBlock> expand(const Backend& backend,
                                               const at::Tensor& values) const = 0;

  // Whether deployed() is possible: whether all that is stored is finite and fits its type.
  virtual bool can_store(const at::Tensor& trained) const = 0;
  // The block as it would be read back from the result, on the device.
  virtual BlockWeights deployed(const at::Tensor& trained) const = 0;
};

}  // namespace bitmill
