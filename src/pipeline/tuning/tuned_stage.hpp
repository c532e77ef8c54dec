#pragma once
// The packed blocks of a stage, whose scales are tuned together. Their factors are one flat tensor,
// block after block.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "method/tuned_block.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

class TunedStage {
 public:
  // `blocks` are those of this stage in `model`, to be computed on `device`, where `rotary` and all
  // flat tensors are. Arguments that are references outlive this object.
  TunedStage(const SourceModel& model, const PositionRange& blocks, double rate,
             const Rotary& rotary, const Device& device);

  int blocks() const { return static_cast<int>(blocks_.size()); }
  int64_t number_of(int i) const { return first_ + i; }  // of block i, in the model
  const TunedBlock& block(int i) const { return *blocks_[static_cast<size_t>(i)]; }
  // Block i ready for passes with the factors last taken; see TunedBlock::expand().
  std::unique_ptr<StudentBlock> expand(int i, const Backend& backend) const {
    return block(i).expand(backend, values(i));
  }
  const LearnedLayout& layout() const { return *layout_; }

  // Sets the factors, [layout().size()], that every later pass uses; they are copied.
  void take(const at::Tensor& factors);
  // Whether the blocks can be stored with these factors: whether every scale fits float16.
  bool can_store(const at::Tensor& factors) const;
  // values(i): the learned values of block i, made from the factors last taken. part(i, flat): the
  // part of block i of a flat tensor over the stage, a view.
  at::Tensor values(int i) const { return part(i, values_); }
  at::Tensor part(int i, const at::Tensor& flat) const {
    return flat.narrow(0, offsets_[static_cast<size_t>(i)], block(i).layout().size());
  }

 private:
  const int64_t first_;
  std::vector<std::unique_ptr<TunedBlock>> blocks_;
  std::vector<int64_t> offsets_;
  std::optional<LearnedLayout> layout_;
  at::Tensor values_;
};

}  // namespace bitmill
