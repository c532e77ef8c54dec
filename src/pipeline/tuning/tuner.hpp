#pragma once
// The training of the factors, epoch by epoch, on one rank of the mesh.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "data/windows.hpp"
#include "pipeline/job/tune_forecast.hpp"
#include "pipeline/job/tune_observer.hpp"
#include "pipeline/job/tune_options.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tuning/tuning_state.hpp"
#include "pipeline/tuning/tuning_walk.hpp"

namespace bitmill {

struct TunerContext {
  const TuneOptions& options;
  const TuneForecast& plan;
  const SourceModel& model;
  const SourceModel& teacher;
  const Windows& windows;
  MeshRank& rank;
  RunDir* run_dir;  // on rank 0
  StreamBudget& budget;
  ThreadPool& pool;
  StopControl& stop;  // over the whole mesh: a step needs all of it anyway
  TuneObserver& observer;
};

class Tuner {
 public:
  // Collective over the mesh, like all of it. Computes the teacher's outputs, and goes on where the
  // run folder's state ends.
  explicit Tuner(const TunerContext& context);

  // To the end. AgreedStop at a safe point, with the state saved.
  void run();

  const TuningHistory& history() const { return state_.history; }
  // Factors of all blocks, on every rank.
  at::Tensor best() const { return pieces_.join(state_.best); }

 private:
  bool is_last_stage() const { return context_.rank.stage() + 1 == context_.rank.mesh().stages; }
  void make_streams();
  void make_targets(std::span<const int64_t> own);
  void measure_as_given();
  void train_epoch();
  bool train_steps(int64_t first);
  double train_step(int64_t step);  // seconds
  float measure();
  double save();  // seconds
  void log_epoch(double seconds) const;
  void stop_between();
  bool everywhere(bool here) const;
  std::vector<float> gather(const SampleShare& share, const at::Tensor& own) const;

  const TunerContext context_;
  const std::unique_ptr<Backend> backend_;
  const Rotary rotary_;
  const SampleShare train_, held_out_;
  TunedStage stage_;
  const StagePieces pieces_;
  ShardedOptimizer optimizer_;
  TuningState state_;
  // A slot per own training window, float32, of the epoch under way: last stage.
  const at::Tensor own_losses_;
  std::unique_ptr<SampleStream> inputs_, targets_;  // own windows, the held-out ones last
  std::optional<NextTokenDivergence> divergence_;   // on the last stage
  std::optional<TuningWalk> walk_;
};

}  // namespace bitmill
