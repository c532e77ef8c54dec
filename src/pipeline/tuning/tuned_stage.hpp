#pragma once
// The packed blocks of a stage whose scales are tuned together: their factors are one flat vector,
// block after block.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "method/tuned_block.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

class TunedStage {
 public:
  // These blocks of `model`. All arguments that are references outlive it.
  TunedStage(const SourceModel& model, const PositionRange& blocks, double rate,
             const Rotary& rotary, ThreadPool& pool);

  int blocks() const { return static_cast<int>(blocks_.size()); }
  const TunedBlock& block(int i) const { return *blocks_[static_cast<size_t>(i)]; }
  const LearnedLayout& layout() const { return *layout_; }

  // The factors of every pass from here on, layout().size() elements.
  void take(std::span<const float> factors);
  // Whether the blocks can be stored with these factors: whether every scale fits float16.
  bool can_store(std::span<const float> factors) const;
  // Of block i: its learned values with the factors last taken, and its part of any flat vector.
  std::span<const float> values(int i) const { return part(i, std::span<const float>(values_)); }
  template <class Float>
  std::span<Float> part(int i, std::span<Float> flat) const {
    return flat.subspan(static_cast<size_t>(offsets_[static_cast<size_t>(i)]),
                        static_cast<size_t>(block(i).layout().size()));
  }

 private:
  std::vector<std::unique_ptr<TunedBlock>> blocks_;
  std::vector<int64_t> offsets_;
  std::optional<LearnedLayout> layout_;
  std::vector<float> values_;
};

}  // namespace bitmill
