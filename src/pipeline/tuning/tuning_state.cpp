#include "pipeline/tuning/tuning_state.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/blocks/live_state.hpp"

namespace bitmill {
namespace {

TensorSource as_source(const std::string& name, const at::Tensor& values) {
  return {name, Dtype::float32, {values.numel()}, [values](const ByteSink& sink) {
            sink(bytes_of(values));
          }};
}

// Rank 0 reads the saved state, and every rank gets it.
class Restorer {
 public:
  Restorer(const RunDir* run_dir, MeshRank& rank) : rank_(rank) {
    if (run_dir != nullptr && run_dir->state().has_live(whole_model)) {
      saved_.emplace(run_dir->state().open_live(whole_model));
    }
    found_ = broadcast(saved_ ? 1 : 0) == 1;
  }

  bool found() const { return found_; }
  int64_t steps() { return broadcast(saved_ ? saved_->progress.steps : 0); }
  at::Tensor tensor(const char* name) {
    const int64_t size = broadcast(saved_ ? saved_->tensors.info(name).elements() : 0);
    at::Tensor values = at::empty({size});
    broadcast_tensor(saved_ ? &saved_->tensors : nullptr, name, bytes_of(values), rank_.control());
    return values;
  }
  std::vector<float> vector(const char* name) {
    const at::Tensor values = tensor(name);
    return {floats_of(values).begin(), floats_of(values).end()};
  }

 private:
  int64_t broadcast(int64_t value) {
    rank_.control().broadcast(std::as_writable_bytes(std::span(&value, 1)), 0);
    return value;
  }

  MeshRank& rank_;
  std::optional<SavedBlock> saved_;
  bool found_ = false;
};

void check_size(int64_t values, int64_t size, const char* name) {
  BITMILL_CHECK(values == size, FormatError,
                fmt::format("the saved state of the tuning has {} values of \"{}\", and {} belong "
                            "there; start over with --resume never",
                            values, name, size));
}

}  // namespace

StagePieces::StagePieces(MeshRank& rank, int64_t own_size) : rank_(rank), own_size_(own_size) {
  const int64_t mine = rank.leads() ? own_size : 0;
  int other = 0;
  for (const int64_t theirs : gather_value(rank.control(), mine)) {
    if (rank.mesh().stage_of_rank(other++) < rank.stage()) first_ += theirs;
    size_ += theirs;
  }
}

at::Tensor StagePieces::join(const at::Tensor& piece) const {
  const at::Tensor whole = at::empty({size_});
  auto next = floats_of(whole).begin();
  const at::Tensor host = piece.cpu();
  const std::span<const float> mine = floats_of(host);
  for (const std::vector<float>& theirs :
       gather_values<float>(rank_.control(), rank_.leads() ? mine : mine.first(0))) {
    next = std::copy(theirs.begin(), theirs.end(), next);
  }
  return whole;
}

at::Tensor StagePieces::own(const at::Tensor& whole) const {
  return whole.narrow(0, first_, own_size_).clone();
}

std::vector<TensorSource> tensors_to_save(const TuningState& state, ShardedOptimizer& optimizer,
                                          const StagePieces& pieces) {
  const int64_t size = state.factors.numel();
  return {as_source("factors", pieces.join(state.factors)),
          as_source("first_moment", pieces.join(optimizer.collect(Moment::first, 0, size))),
          as_source("second_moment", pieces.join(optimizer.collect(Moment::second, 0, size))),
          as_source("best", pieces.join(state.best)),
          as_source("losses", at::tensor(state.losses)),
          as_source("train_kl", at::tensor(state.history.train_kl)),
          as_source("held_out_kl", at::tensor(state.history.held_out_kl))};
}

Progress saved_progress(const TuningState& state) {
  return {whole_model, state.history.epochs(), state.steps};
}

void restore_tuning(const RunDir* run_dir, TuningState& state, ShardedOptimizer& optimizer,
                    const StagePieces& pieces, MeshRank& rank) {
  Restorer saved(run_dir, rank);
  if (!saved.found()) return;
  const auto piece = [&](const char* name) {
    const at::Tensor whole = saved.tensor(name);
    check_size(whole.numel(), pieces.size(), name);
    return pieces.own(whole);
  };
  state.factors.copy_(piece("factors"));
  const int64_t size = state.factors.numel();
  optimizer.hand_out(Moment::first, 0, size, piece("first_moment"));
  optimizer.hand_out(Moment::second, 0, size, piece("second_moment"));
  state.best.copy_(piece("best"));
  const auto windows = std::ssize(state.losses);
  state.losses = saved.vector("losses");
  check_size(std::ssize(state.losses), windows, "losses");
  state.history.train_kl = saved.vector("train_kl");
  state.history.held_out_kl = saved.vector("held_out_kl");
  check_size(std::ssize(state.history.held_out_kl), state.history.epochs() + 1, "held_out_kl");
  state.steps = saved.steps();
  optimizer.set_steps(state.steps);
}

}  // namespace bitmill
