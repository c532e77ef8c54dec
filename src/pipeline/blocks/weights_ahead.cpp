#include "pipeline/blocks/weights_ahead.hpp"

#include <algorithm>
#include <utility>

namespace bitmill {

std::optional<int> block_after(const Plan& plan, int stage, int block, int turn) {
  const std::vector<Action>& actions = plan.stages[static_cast<size_t>(stage)];
  const auto visit = std::ranges::find(actions, Action{ActionKind::teach, block, turn});
  const auto next = std::find_if(
      visit, actions.end(), [](const Action& action) { return action.kind == ActionKind::load; });
  return next == actions.end() ? std::nullopt : std::optional(next->block);
}

WeightsAhead::~WeightsAhead() { give_up(); }

void WeightsAhead::begin(int block) {
  if (block_ == block) return;
  give_up();
  block_ = block;
  weights_ = std::async(std::launch::async, [this, block] {
    WeightsRead read;
    read.weights.vectors = model_.load_vectors(block, &read.hashes);
    for (const LinearShape& shape : block_linears(model_.config(), block)) {
      if (unwanted_) break;
      read.weights.linears.push_back(model_.load_linear(shape, &read.hashes));
    }
    return read;
  });
}

std::optional<WeightsRead> WeightsAhead::take(int block) {
  if (block_ != block) return std::nullopt;
  block_.reset();
  return weights_.get();
}

void WeightsAhead::give_up() {
  if (!block_) return;
  unwanted_ = true;
  weights_.wait();
  weights_ = {};
  unwanted_ = false;
  block_.reset();
}

}  // namespace bitmill
