#pragma once
// Trains factors and signs, on one rank of the mesh: says what a step and an epoch are. The loop
// over them is in training/step_loop.hpp.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "data/windows.hpp"
#include "device/device.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/training/step_loop.hpp"
#include "pipeline/tuning/sample_losses.hpp"
#include "pipeline/tuning/tuning_state.hpp"
#include "pipeline/tuning/tuning_text.hpp"
#include "pipeline/tuning/tuning_walk.hpp"

namespace bitmill {

struct TunerContext {
  const TuneOptions& options;
  const TuneForecast& forecast;
  const SourceModel& model;
  const SourceModel& teacher;
  const Windows& windows;  // with a corpus, only those that are held out
  const TuningText* text;  // of a corpus, else null
  MeshRank& rank;
  // On rank 0, and where signs are learned, on the leader of every stage; else null.
  RunDir* run_dir;
  RunWriter* writer;  // of the same folder on rank 0, else null
  StreamBudget& budget;
  const Device& device;  // where this rank computes
  StopControl& stop;     // of the whole mesh, because every step needs all ranks of it
  TuneObserver& observer;
};

class Tuner : private Trained {
 public:
  // Collective over the mesh, like every call here. Computes the teacher's outputs, and restores
  // the state in the run folder, if there is one.
  explicit Tuner(const TunerContext& context);

  // Trains to the end. AgreedStop at a safe point, after the state was saved.
  void run();

  const TuningHistory& history() const { return state_.history; }
  // Collective. The best factors, of all blocks, on every rank.
  at::Tensor best() const { return pieces_.join(state_.best); }
  // The best signs of the blocks of this stage, where they are learned: on its leader.
  const std::vector<BlockSigns>& best_signs() const { return state_.best_signs; }
  // Seconds that training stood still while the parts of states were written.
  double seconds_saving_parts() const { return seconds_saving_parts_; }

 private:
  std::string name() const override { return "the model"; }
  int64_t steps_per_epoch() const override { return context_.forecast.steps_per_epoch; }
  bool wants_epoch(int epoch) override;
  void prepare_step(int epoch, int64_t step) override;
  bool take_step(int epoch, int64_t step) override;
  void finish_epoch(int epoch) override;
  void save_epoch(const StepsDone& done, double seconds) override;
  void save_steps(const StepsDone& done) override;
  void settle() override;
  double seconds_to_leave() const override;

  bool is_last_stage() const { return context_.rank.stage() + 1 == context_.rank.mesh().stages; }
  // A block of the model as it is while this group of signs is trained.
  std::unique_ptr<TrainedBlock> make_block(int64_t block, int64_t group,
                                           const BlockSigns* signs) const;
  bool in_groups() const { return context_.forecast.sign_groups.count() > 1; }
  int64_t all_steps() const { return context_.forecast.epochs * context_.forecast.steps_per_epoch; }
  // From here on the signs of this group are trained, and those of the other blocks stay as they
  // are in `signs`, of all blocks of the stage. The factors go on.
  void begin_group(int64_t group, const std::vector<BlockSigns>& signs);
  void begin_latents();  // at the first step of the group
  void restore();
  void make_walk();
  // The windows of an epoch, as they come into the model, and as they should leave it.
  void make_streams(int epoch);
  void make_targets(const Windows& windows, std::span<const int64_t> own);
  void measure_as_given();
  float measure();
  // From sample `first` of the own streams on.
  DivergenceEnds ends(int64_t first) const;
  void keep_best();
  // Of all blocks of the stage, of what is trained now.
  std::vector<BlockSigns> signs_of_stage() const;
  void take_state(const StepsDone& done);
  // Begins to commit the state; `line` as RunWriter::save_epoch() takes it, empty in the middle of
  // an epoch.
  void commit(const std::string& line);
  TuningPlace place();
  std::string epoch_line(double seconds) const;
  bool everywhere(bool here) const;

  const TunerContext context_;
  const std::unique_ptr<Backend> backend_;
  const Rotary rotary_;  // on the device
  const SampleShare train_, held_out_;
  TrainedStage stage_;
  const StagePieces pieces_;
  StageOptimizer optimizer_;
  TuningState state_;
  // The loss of each own training window in the current epoch, [own training windows] float32, on
  // the host; filled on the last stage only.
  const at::Tensor own_losses_;
  std::unique_ptr<SampleStream> inputs_, targets_;  // of own windows, the held-out ones last
  std::optional<NextTokenDivergence> divergence_;   // on the last stage
  std::optional<TuningWalk> walk_;
  int epoch_of_streams_ = 0;
  double seconds_saving_parts_ = 0;
};

}  // namespace bitmill
