#include "pipeline/tuning/tuning_state.hpp"

#include <fmt/format.h>

#include <cstring>
#include <optional>

#include "base/error.hpp"
#include "pipeline/blocks/live_state.hpp"

namespace bitmill {
namespace {

std::vector<float> floats_of(const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TensorSource as_tensor(const std::string& name, std::vector<float> values) {
  return {name,
          Dtype::float32,
          {std::ssize(values)},
          [values = std::move(values)](const ByteSink& sink) {
            sink(std::as_bytes(std::span(values)));
          }};
}

// Reads on rank 0, for everybody.
class Restorer {
 public:
  Restorer(const RunDir* run_dir, MeshRank& rank) : rank_(rank) {
    if (run_dir != nullptr && run_dir->state().has_live(whole_model)) {
      saved_.emplace(run_dir->state().open_live(whole_model));
    }
    found_ = share(saved_ ? 1 : 0) == 1;
  }

  bool found() const { return found_; }
  int64_t steps() { return share(saved_ ? saved_->progress.steps : 0); }
  std::vector<float> vector(const char* name) {
    const int64_t size = share(saved_ ? saved_->tensors.info(name).elements() : 0);
    std::vector<float> values(static_cast<size_t>(size));
    broadcast_tensor(saved_ ? &saved_->tensors : nullptr, name,
                     std::as_writable_bytes(std::span(values)), rank_.control());
    return values;
  }

 private:
  int64_t share(int64_t value) {
    rank_.control().broadcast(std::as_writable_bytes(std::span(&value, 1)), 0);
    return value;
  }

  MeshRank& rank_;
  std::optional<SavedBlock> saved_;
  bool found_ = false;
};

void check_size(const std::vector<float>& values, int64_t size, const char* name) {
  BITMILL_CHECK(std::ssize(values) == size, FormatError,
                fmt::format("the saved state of the tuning has {} values of \"{}\", and {} belong "
                            "there; start over with --resume never",
                            values.size(), name, size));
}

}  // namespace

StagePieces::StagePieces(MeshRank& rank, int64_t own_size) : rank_(rank), own_size_(own_size) {
  const int64_t mine = rank.leads() ? own_size : 0;
  const auto sizes = gather_everywhere(rank.control(), std::as_bytes(std::span(&mine, 1)));
  for (size_t other = 0; other < sizes.size(); ++other) {
    int64_t theirs = 0;
    std::memcpy(&theirs, sizes[other].data(), sizeof(theirs));
    if (rank.mesh().stage_of_rank(static_cast<int>(other)) < rank.stage()) first_ += theirs;
    size_ += theirs;
  }
}

std::vector<float> StagePieces::join(std::span<const float> piece) const {
  std::vector<float> whole;
  whole.reserve(static_cast<size_t>(size_));
  for (const auto& bytes :
       gather_everywhere(rank_.control(), std::as_bytes(rank_.leads() ? piece : piece.first(0)))) {
    const std::vector<float> theirs = floats_of(bytes);
    whole.insert(whole.end(), theirs.begin(), theirs.end());
  }
  return whole;
}

std::span<const float> StagePieces::own(std::span<const float> whole) const {
  return whole.subspan(static_cast<size_t>(first_), static_cast<size_t>(own_size_));
}

void save_tuning(RunDir* run_dir, const TuningState& state, ShardedOptimizer& optimizer,
                 const StagePieces& pieces) {
  const auto size = std::ssize(state.factors);
  const std::vector<TensorSource> tensors = {
      as_tensor("factors", pieces.join(state.factors)),
      as_tensor("first_moment", pieces.join(optimizer.collect(Moment::first, 0, size))),
      as_tensor("second_moment", pieces.join(optimizer.collect(Moment::second, 0, size))),
      as_tensor("best", pieces.join(state.best)),
      as_tensor("losses", state.losses),
      as_tensor("train_kl", state.history.train_kl),
      as_tensor("held_out_kl", state.history.held_out_kl)};
  if (run_dir != nullptr) {
    run_dir->write_live({whole_model, state.history.epochs(), state.steps}, tensors);
  }
}

void restore_tuning(const RunDir* run_dir, TuningState& state, ShardedOptimizer& optimizer,
                    const StagePieces& pieces, MeshRank& rank) {
  Restorer saved(run_dir, rank);
  if (!saved.found()) return;
  const auto piece = [&](const char* name) {
    const std::vector<float> whole = saved.vector(name);
    check_size(whole, pieces.size(), name);
    const std::span<const float> own = pieces.own(whole);
    return std::vector(own.begin(), own.end());
  };
  state.factors = piece("factors");
  const auto size = std::ssize(state.factors);
  optimizer.hand_out(Moment::first, 0, size, piece("first_moment"));
  optimizer.hand_out(Moment::second, 0, size, piece("second_moment"));
  state.best = piece("best");
  const auto windows = std::ssize(state.losses);
  state.losses = saved.vector("losses");
  check_size(state.losses, windows, "losses");
  state.history.train_kl = saved.vector("train_kl");
  state.history.held_out_kl = saved.vector("held_out_kl");
  check_size(state.history.held_out_kl, state.history.epochs() + 1, "held_out_kl");
  state.steps = saved.steps();
  optimizer.set_steps(state.steps);
}

}  // namespace bitmill
