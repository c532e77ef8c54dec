#pragma once
// The blocks of one stage, of which something is learned end to end. What is trained of them is one
// flat tensor, block after block.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "method/trained_block.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

class TrainedStage {
 public:
  // Makes the block of this number in the model.
  using Maker = std::function<std::unique_ptr<TrainedBlock>(int64_t)>;

  // `blocks` are those of this stage. All flat tensors are where make() puts those of its blocks.
  TrainedStage(const PositionRange& blocks, const Maker& make);

  int blocks() const { return static_cast<int>(blocks_.size()); }
  int64_t number_of(int i) const { return first_ + i; }  // of block i, in the model
  const TrainedBlock& block(int i) const { return *blocks_[static_cast<size_t>(i)]; }
  // Replaces block i, by one of which other things are trained. Flat tensors have the new layout
  // then: what was taken before, as a whole or by part(), does not fit any more.
  void put(int i, std::unique_ptr<TrainedBlock> block);
  const LearnedLayout& layout() const { return *layout_; }
  // What is trained, [layout().size()], before the first step. The caller owns it.
  at::Tensor first() const;

  // What is not large of a flat tensor over the stage, of all blocks, one behind the other; memory
  // of its own, where `flat` is. set_small() is the reverse.
  at::Tensor small(const at::Tensor& flat) const;
  void set_small(const at::Tensor& flat, const at::Tensor& values) const;

  // Sets what is trained, [layout().size()], for every later pass. It is not copied, because it may
  // be as large as the weights: values() is of what it holds then.
  void take(const at::Tensor& trained) { trained_ = trained; }
  // Whether all blocks can be stored so.
  bool can_store(const at::Tensor& trained) const;
  // The learned values of block i, made from what was last taken: memory of its own.
  at::Tensor values(int i) const;
  // The part of block i of a flat tensor over the stage, a view.
  at::Tensor part(int i, const at::Tensor& flat) const {
    return flat.narrow(0, offsets_[static_cast<size_t>(i)], block(i).layout().size());
  }

 private:
  void lay_out();

  const int64_t first_;
  std::vector<std::unique_ptr<TrainedBlock>> blocks_;
  std::vector<int64_t> offsets_;
  std::optional<LearnedLayout> layout_;
  at::Tensor trained_;
};

}  // namespace bitmill
