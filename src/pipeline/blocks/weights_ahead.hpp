#pragma once
// The weights of the next block, read and widened by a thread of their own while a GPU trains this
// one. They take the memory that this block's own weights had before its training began, so the
// plan of the host's memory does not know of them. The same thread hashes what it reads:
// SourceGuard then judges what was read, and not what the file holds an hour later.

#include <atomic>
#include <future>
#include <optional>

#include "model/source_model.hpp"
#include "schedule/plan.hpp"

namespace bitmill {

// The block that a stage loads after the visit of `block` at `turn`; none after the last visit.
std::optional<int> block_after(const Plan& plan, int stage, int block, int turn);

struct WeightsRead {
  BlockWeights weights;  // as SourceModel::load_block()
  TensorHashes hashes;   // of their tensors
};

// One thread calls.
class WeightsAhead {
 public:
  explicit WeightsAhead(const SourceModel& model) : model_(model) {}
  ~WeightsAhead();
  WeightsAhead(const WeightsAhead&) = delete;
  WeightsAhead& operator=(const WeightsAhead&) = delete;

  // Starts to read, unless this block is under way or there already. Another one is given up first.
  void begin(int block);
  // Waits where the block is under way, and throws what its reading ended in. Nothing where it was
  // not begun.
  std::optional<WeightsRead> take(int block);

 private:
  void give_up();

  const SourceModel& model_;
  std::optional<int> block_;
  std::atomic<bool> unwanted_ = false;
  std::future<WeightsRead> weights_;
};

}  // namespace bitmill
