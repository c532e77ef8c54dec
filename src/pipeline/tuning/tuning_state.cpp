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

constexpr const char* best_signs = "best_signs";
constexpr const char* signs_now = "signs";
constexpr const char* sign_group = "sign_group";

std::string name_of(const char* kind, size_t linear) { return fmt::format("{}.{}", kind, linear); }

// They refer to `signs`.
void add_signs(const char* kind, const BlockSigns& signs, std::vector<TensorSource>& tensors) {
  for (size_t linear = 0; linear < signs.size(); ++linear) {
    const std::vector<uint32_t>& words = signs[linear];
    tensors.push_back(
        {name_of(kind, linear), Dtype::int32, {std::ssize(words)}, [&words](const ByteSink& sink) {
           sink(std::as_bytes(std::span(words)));
         }});
  }
}

int number_of(const TuningPlace& place, int i) {
  return static_cast<int>(place.stage.number_of(i));
}

bool has_latents(const TuningPlace& place, int i) {
  return place.stage.block(i).layout().has_large();
}

// The latents of block i of the stage, for the files of its state. REQUIRES: it has some.
struct BlockLatents {
  BlockLatents(const TuningState& state, const TuningPlace& place, int i)
      : layout(place.stage.block(i).layout().large_part()),
        trained(place.stage.part(i, state.trained)
                    .narrow(0, place.stage.block(i).layout().small_size(), layout.size())),
        live{layout, trained, place.optimizer.of_large(i)} {}

  const LearnedLayout layout;
  const at::Tensor trained;
  const LiveState live;
};

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

std::vector<TensorSource> tensors_to_save(const TuningState& state, const TuningPlace& place) {
  const StagePieces& pieces = place.pieces;
  const at::Tensor first = place.optimizer.collect_small(Moment::first);
  const at::Tensor second = place.optimizer.collect_small(Moment::second);
  std::vector<TensorSource> tensors = {
      as_source("factors", pieces.join(place.stage.small(state.trained))),
      as_source("first_moment", pieces.join(first)),
      as_source("second_moment", pieces.join(second)),
      as_source("best", pieces.join(state.best)),
      as_source("losses", at::tensor(state.losses)),
      as_source("train_kl", at::tensor(state.history.train_kl)),
      as_source("held_out_kl", at::tensor(state.history.held_out_kl))};
  if (state.sign_group) {
    tensors.push_back(as_source(sign_group, at::full({1}, *state.sign_group, at::kFloat)));
  }
  return tensors;
}

void save_parts(const TuningState& state, const TuningPlace& place, Dtype large) {
  if (!place.has_parts) return;
  for (int i = 0; i < place.stage.blocks(); ++i) {
    std::optional<BlockLatents> latents;
    std::vector<TensorSource> tensors;
    if (has_latents(place, i)) {
      latents.emplace(state, place, i);
      tensors = large_state_tensors(latents->live, large, place.pool);
    }
    if (place.run_dir == nullptr) {
      take_part(tensors, RunDir::produced_per_write);
      continue;
    }
    const BlockSigns& best = state.best_signs[static_cast<size_t>(i)];
    add_signs(best_signs, best, tensors);
    BlockSigns now;
    if (!latents) {
      now = block_signs(place.stage, i, state.trained);
      add_signs(signs_now, now, tensors);
    }
    place.run_dir->write_part(number_of(place, i), state.steps, tensors);
  }
  place.rank.control().barrier();
}

void round_latents(const TuningState& state, const TuningPlace& place) {
  for (int i = 0; i < place.stage.blocks(); ++i) {
    if (has_latents(place, i)) round_large(BlockLatents(state, place, i).live, place.pool);
  }
}

Progress saved_progress(const TuningState& state) {
  return {whole_model, state.history.epochs(), state.steps};
}

namespace {

// On the leader of a stage, into signs that have their sizes.
void read_signs(const SafetensorsFile& file, const char* kind, BlockSigns& signs) {
  for (size_t linear = 0; linear < signs.size(); ++linear) {
    const TensorInfo& info = file.info(name_of(kind, linear));
    check_size(info.elements(), std::ssize(signs[linear]), info.name.c_str());
    file.read(info, std::as_writable_bytes(std::span(signs[linear])));
  }
}

// The part of block i of the stage, where this rank reads the folder.
std::optional<SafetensorsFile> open_part(const TuningPlace& place, int i, int64_t steps) {
  if (place.run_dir == nullptr) return std::nullopt;
  return place.run_dir->state().open_part(number_of(place, i), steps);
}

void restore_parts(TuningState& state, const TuningPlace& place) {
  if (!place.has_parts) return;
  for (int i = 0; i < place.stage.blocks(); ++i) {
    const std::optional<SafetensorsFile> file = open_part(place, i, state.steps);
    if (file) read_signs(*file, best_signs, state.best_signs[static_cast<size_t>(i)]);
    if (!has_latents(place, i)) continue;
    restore_large_state(BlockLatents(state, place, i).live, file ? &*file : nullptr,
                        place.rank.replicas());
  }
}

// Rank 0's run folder is that of the whole model's file.
RunDir* head_of(const TuningPlace& place) {
  return place.rank.control().rank() == 0 ? place.run_dir : nullptr;
}

// Collective over the replicas of the stage.
void broadcast_signs(BlockSigns& signs, Communicator& comm) {
  for (std::vector<uint32_t>& words : signs) {
    comm.broadcast(std::as_writable_bytes(std::span(words)), 0);
  }
}

}  // namespace

BlockSigns block_signs(const TrainedStage& stage, int i, const at::Tensor& trained) {
  return dynamic_cast<const TunedBlock&>(stage.block(i)).signs(stage.part(i, trained));
}

std::optional<SavedSigns> read_saved_signs(const TuningState& state, const TuningPlace& place) {
  Restorer saved(head_of(place), place.rank);
  if (!saved.found() || !state.sign_group) return std::nullopt;
  const auto group = static_cast<int64_t>(saved.vector(sign_group).at(0));
  const int64_t steps = saved.steps();
  SavedSigns out{group, {}};
  for (int i = 0; i < place.stage.blocks(); ++i) {
    BlockSigns signs = block_signs(place.stage, i, state.trained);
    const std::optional<SafetensorsFile> file = open_part(place, i, steps);
    const bool has_signs = file && file->tensors().contains(name_of(signs_now, 0));
    if (has_signs) read_signs(*file, signs_now, signs);
    broadcast_signs(signs, place.rank.replicas());
    out.signs.push_back(std::move(signs));
  }
  return out;
}

void restore_tuning(TuningState& state, const TuningPlace& place) {
  RunDir* const head = head_of(place);
  Restorer saved(head, place.rank);
  if (!saved.found()) {
    if (head != nullptr) head->remove_parts(1, 0);  // all
    return;
  }
  const auto piece = [&](const char* name) {
    const at::Tensor whole = saved.tensor(name);
    check_size(whole.numel(), place.pieces.size(), name);
    return place.pieces.own(whole);
  };
  place.stage.set_small(state.trained, piece("factors"));
  place.optimizer.hand_out_small(Moment::first, piece("first_moment"));
  place.optimizer.hand_out_small(Moment::second, piece("second_moment"));
  state.best.copy_(piece("best"));
  const auto windows = std::ssize(state.losses);
  state.losses = saved.vector("losses");
  check_size(std::ssize(state.losses), windows, "losses");
  state.history.train_kl = saved.vector("train_kl");
  state.history.held_out_kl = saved.vector("held_out_kl");
  check_size(std::ssize(state.history.held_out_kl), state.history.epochs() + 1, "held_out_kl");
  state.steps = saved.steps();
  place.optimizer.set_steps(state.steps);
  restore_parts(state, place);
  if (head != nullptr) head->remove_parts(state.steps, state.steps);
}

}  // namespace bitmill
