#pragma once
// The weights of the next block, read and widened by a thread of their own while a GPU trains this
// one. They take the memory that this block's own weights had before its training began, so the
// plan of the host's memory does not know of them.

#include <atomic>
#include <future>
#include <optional>

#include "model/source_model.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// The block that a stage loads after the visit of `block` at `turn`; none after the last visit.
std::optional<int> block_after(const Plan& plan, int stage, int block, int turn);

// One thread calls.
class WeightsAhead {
 public:
  explicit WeightsAhead(const SourceModel& model) : model_(model) {}
  ~WeightsAhead();
  WeightsAhead(const WeightsAhead&) = delete;
  WeightsAhead& operator=(const WeightsAhead&) = delete;

  // Starts to read, unless this block is under way or there already. Another one is given up first.
  void begin(int block);
  // As SourceModel::load_block(). Waits where the block is under way, and throws what its reading
  // ended in; reads it here where it was not begun.
  BlockWeights take(int block);

 private:
  void give_up();

  const SourceModel& model_;
  std::optional<int> block_;
  std::atomic<bool> unwanted_ = false;
  std::future<BlockWeights> weights_;
};

}  // namespace bitmill
