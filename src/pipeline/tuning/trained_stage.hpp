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
  // Block i ready for passes with what was last taken; see TrainedBlock::expand().
  std::unique_ptr<StudentBlock> expand(int i, const Backend& backend) const {
    return block(i).expand(backend, values(i));
  }
  const LearnedLayout& layout() const { return *layout_; }
  // What is trained, [layout().size()], before the first step. The caller owns it.
  at::Tensor first() const;

  // Sets what is trained, [layout().size()], for every later pass; it is copied.
  void take(const at::Tensor& trained);
  // Whether all blocks can be stored so.
  bool can_store(const at::Tensor& trained) const;
  // values(i): the learned values of block i, made from what was last taken. part(i, flat): the
  // part of block i of a flat tensor over the stage, a view.
  at::Tensor values(int i) const { return part(i, values_); }
  at::Tensor part(int i, const at::Tensor& flat) const {
    return flat.narrow(0, offsets_[static_cast<size_t>(i)], block(i).layout().size());
  }

 private:
  const int64_t first_;
  std::vector<std::unique_ptr<TrainedBlock>> blocks_;
  std::vector<int64_t> offsets_;
  std::optional<LearnedLayout> layout_;
  at::Tensor values_;
};

}  // namespace bitmill
