#include "pipeline/adapting/adapter_state.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <bit>
#include <optional>

#include "base/error.hpp"
#include "checkpoint/run_dir.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/blocks/live_state.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {

// The tensors of a block in the file.
struct AdapterFile::Kind {
  const char* name;
  std::optional<Moment> moment;
};

namespace {

constexpr const char* values_kind = "values";
constexpr const char* loss_sum_name = "loss_sum";

TensorSource as_source(const char* name, const std::vector<float>& values) {
  return {name, Dtype::float32, {std::ssize(values)}, [values](const ByteSink& sink) {
            sink(std::as_bytes(std::span(values)));
          }};
}

// Safetensors as we read them have no float64: the bits as an integer.
TensorSource as_source(const char* name, double value) {
  return {name, Dtype::int64, {1}, [bits = std::bit_cast<int64_t>(value)](const ByteSink& sink) {
            sink(std::as_bytes(std::span(&bits, 1)));
          }};
}

double read_number(const SafetensorsFile* file, const char* name, Communicator& comm) {
  int64_t bits = 0;
  broadcast_tensor(file, name, std::as_writable_bytes(std::span(&bits, 1)), comm);
  return std::bit_cast<double>(bits);
}

// A number that rank 0 has, on every rank.
int64_t broadcast(int64_t value, Communicator& comm) {
  comm.broadcast(std::as_writable_bytes(std::span(&value, 1)), 0);
  return value;
}

std::vector<float> read_vector(const SafetensorsFile* file, const char* name, Communicator& comm) {
  const int64_t size = broadcast(file != nullptr ? file->info(name).elements() : 0, comm);
  std::vector<float> values(static_cast<size_t>(size));
  broadcast_tensor(file, name, std::as_writable_bytes(std::span(values)), comm);
  return values;
}

// What the run folder holds of a training, as rank 0 sees it.
enum class Found : int64_t { nothing, state, other_layout };
Found look(const std::optional<SavedBlock>& saved) {
  if (!saved) return Found::nothing;
  // Early versions saved the loss of every sequence instead of their sum.
  return saved->tensors.tensors().contains(loss_sum_name) ? Found::state : Found::other_layout;
}

}  // namespace

std::string values_name(int64_t block) { return fmt::format("{}.{}", values_kind, block); }

AdapterFile::AdapterFile(MeshRank& rank, StageOptimizer& optimizer, const Device& device,
                         std::vector<int64_t> sizes)
    : rank_(rank), optimizer_(optimizer), device_(device), sizes_(std::move(sizes)) {}

int AdapterFile::stage_of(int64_t block) const {
  const int stages = rank_.mesh().stages;
  for (int stage = 0; stage < stages; ++stage) {
    if (block < blocks_of_stage(std::ssize(sizes_), stages, stage).end) return stage;
  }
  return stages - 1;
}

int AdapterFile::place_of(int64_t block) const {
  const int stages = rank_.mesh().stages;
  return static_cast<int>(block -
                          blocks_of_stage(std::ssize(sizes_), stages, stage_of(block)).begin);
}

int64_t AdapterFile::first_of(int64_t block) const {
  int64_t first = 0;
  for (int64_t before = block - place_of(block); before < block; ++before) {
    first += sizes_[static_cast<size_t>(before)];
  }
  return first;
}

// Collective over the mesh: the stage of the block gathers the tensor, and its leader sends it to
// rank 0, which comes to its receive without waiting for anybody else.
void AdapterFile::produce(const AdapterState& state, int64_t block, const Kind& kind,
                          const ByteSink& sink) {
  const int owner = stage_of(block);
  const int64_t size = sizes_[static_cast<size_t>(block)], first = first_of(block);
  const bool is_here = rank_.stage() == owner, is_first = rank_.stage() == 0 && rank_.leads();
  at::Tensor values;
  if (is_here && kind.moment) {
    values = optimizer_.of(place_of(block)).collect(*kind.moment, 0, size);
  } else if (is_here) {
    values = device_.fetch(state.values.narrow(0, first, size));
  }
  if (owner != 0 && is_here && rank_.leads()) rank_.control().send(bytes_of(values), 0);
  if (!is_first) return;
  if (owner != 0) {
    values = at::empty({size});
    rank_.control().receive(bytes_of(values), rank_.mesh().rank_of(owner, 0));
  }
  sink(bytes_of(values));
}

std::vector<TensorSource> AdapterFile::tensors(const AdapterState& state) {
  static constexpr std::array<Kind, 3> kinds = {{{values_kind, std::nullopt},
                                                 {"first_moment", Moment::first},
                                                 {"second_moment", Moment::second}}};
  std::vector<TensorSource> all;
  for (int64_t block = 0; block < std::ssize(sizes_); ++block) {
    for (const Kind& kind : kinds) {
      all.push_back({fmt::format("{}.{}", kind.name, block),
                     Dtype::float32,
                     {sizes_[static_cast<size_t>(block)]},
                     [this, &state, block, &kind](const ByteSink& sink) {
                       produce(state, block, kind, sink);
                     }});
    }
  }
  all.push_back(as_source(loss_sum_name, state.loss_sum));
  all.push_back(as_source("train_loss", state.history.train));
  all.push_back(as_source("held_out_loss", state.history.held_out));
  return all;
}

void AdapterFile::save(const AdapterState& state, RunWriter* writer, const std::string& event) {
  const std::vector<TensorSource> all = tensors(state);
  const Progress progress{all_adapters, state.history.measures(), state.steps};
  if (writer != nullptr && event.empty()) return writer->save_steps(progress, all);
  if (writer != nullptr) return writer->save_epoch(progress, all, event);
  take_part(all, RunDir::produced_per_write);
}

void AdapterFile::restore(const RunDir* run_dir, AdapterState& state) {
  Communicator& comm = rank_.control();
  std::optional<SavedBlock> saved;
  if (run_dir != nullptr && run_dir->state().has_live(all_adapters)) {
    saved.emplace(run_dir->state().open_live(all_adapters));
  }
  const auto found = static_cast<Found>(broadcast(static_cast<int64_t>(look(saved)), comm));
  if (found == Found::nothing) return;
  BITMILL_CHECK(found == Found::state, UsageError,
                fmt::format("--work-dir holds a training that another version of bitmill saved: "
                            "its state has no \"{}\"; go on with that version, or begin anew "
                            "with --resume never",
                            loss_sum_name));
  const SafetensorsFile* const file = saved ? &saved->tensors : nullptr;
  for (int64_t block = 0; block < std::ssize(sizes_); ++block) {
    const int64_t size = sizes_[static_cast<size_t>(block)], first = first_of(block);
    const bool is_here = stage_of(block) == rank_.stage();
    const at::Tensor values = at::empty({size});
    const auto read = [&](const char* kind) {
      broadcast_tensor(file, fmt::format("{}.{}", kind, block), bytes_of(values), comm);
    };
    read(values_kind);
    if (is_here) state.values.narrow(0, first, size).copy_(values);
    read("first_moment");
    if (is_here) optimizer_.of(place_of(block)).hand_out(Moment::first, 0, size, values);
    read("second_moment");
    if (is_here) optimizer_.of(place_of(block)).hand_out(Moment::second, 0, size, values);
  }
  state.loss_sum = read_number(file, loss_sum_name, comm);
  state.history.train = read_vector(file, "train_loss", comm);
  state.history.held_out = read_vector(file, "held_out_loss", comm);
  state.steps = broadcast(saved ? saved->progress.steps : 0, comm);
  optimizer_.set_steps(state.steps);
}

}  // namespace bitmill
