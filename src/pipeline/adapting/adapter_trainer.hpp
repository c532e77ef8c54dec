#pragma once
// Trains the adapters of a packed base on a text, on one rank of the mesh: says what a step is. The
// loop over steps is in training/step_loop.hpp; what it calls an epoch are the steps between two
// measurements of the text that is held out.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "device/device.hpp"
#include "pipeline/adapting/adapter_state.hpp"
#include "pipeline/adapting/sequence_ends.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/training/step_loop.hpp"
#include "pipeline/tuning/sample_losses.hpp"
#include "pipeline/tuning/stage_optimizer.hpp"
#include "pipeline/tuning/tuning_walk.hpp"

namespace bitmill {

// torch.optim.AdamW's: every value shrinks by this share of its rate in every step.
inline constexpr double adapter_decay = 0.01;

// At most so many sequences of the text that is held out are measured.
inline constexpr int64_t most_held_out = 64;

// With TrainingLoss::divergence the teacher computes its outputs for so many sequences at a time,
// or for one step: every time it is read from disk once.
inline constexpr int64_t sequences_of_teacher = 64;

struct AdapterContext {
  const PreprocessOptions& options;
  const PreprocessForecast& forecast;
  const SourceModel& base;
  const SourceModel& original;
  const TrainingText& text;
  MeshRank& rank;
  RunWriter* writer;  // on rank 0, else null; not beside training
  StreamBudget& budget;
  const Device& device;  // where this rank computes
  StopControl& stop;     // of the whole mesh, because every step needs all ranks of it
  PreprocessObserver& observer;
};

class AdapterTrainer : private Trained {
 public:
  // Collective over the mesh, like every call here. Restores the state in the run folder, if there
  // is one.
  explicit AdapterTrainer(const AdapterContext& context);

  // Trains to the end; the last state is committed then. AgreedStop at a safe point, after the
  // state was saved. NumericError, on every rank, when a loss is not finite; what was saved before
  // stays.
  void run();

  const PreprocessHistory& history() const { return state_.history; }

 private:
  // What the ranks tell each other after the passes of a step, beside the losses.
  struct Word {
    int64_t tokens = 0;  // of the replica's sequences; from the first stage
    char save_due = 0;   // from rank 0
  };

  std::string name() const override { return "the adapters"; }
  int64_t steps_per_epoch() const override { return context_.forecast.steps_per_measure; }
  bool wants_epoch(int epoch) override;
  void prepare_step(int epoch, int64_t step) override;
  bool take_step(int epoch, int64_t step) override;
  void finish_epoch(int epoch) override;
  void save_epoch(const StepsDone& done, double seconds) override;
  void save_steps(const StepsDone& done) override;
  bool wants_save() override { return save_due_; }
  void settle() override;
  double seconds_to_leave() const override { return 0; }

  bool is_first_stage() const { return context_.rank.stage() == 0; }
  bool is_last_stage() const { return context_.rank.stage() + 1 == context_.rank.mesh().stages; }
  SequenceLoss loss() const;
  int64_t first_sequence(int64_t step) const { return step * context_.options.batch; }
  void hold_sequences(int64_t step);
  void hold_held_out();
  // `block_done` is called on every rank after every block of the teacher; it may leave.
  std::unique_ptr<SampleStream> teach(const std::vector<TokenIds>& sequences,
                                      const std::function<void()>& block_done);
  void teach_chunk(int64_t step);
  Word own_word() const;
  void agree(int64_t step);
  void measure();
  std::string measure_line(double seconds) const;

  const AdapterContext context_;
  const std::unique_ptr<Backend> backend_;
  const Rotary rotary_;                 // on the device
  const SampleShare train_, held_out_;  // of a step; of all that is held out
  TrainedStage stage_;
  const RateCurve rates_;
  StageOptimizer optimizer_;
  AdapterFile file_;
  AdapterState state_;
  // Of the own sequences of a step, float32, on the host; filled on the last stage.
  const at::Tensor own_losses_;
  std::optional<NextTokenLoss> cross_entropy_;  // on the last stage, one of the two
  std::optional<NextTokenDivergence> divergence_;
  std::optional<SequenceEnds> train_ends_, held_out_ends_;
  std::unique_ptr<SampleStream> held_out_targets_, chunk_targets_;
  int64_t chunk_begin_ = 0, chunk_end_ = 0;  // the steps that the teacher has done
  std::vector<TokenIds> chunk_;              // their own sequences; of the first and last stage
  std::optional<TuningWalk> walk_;
  std::chrono::steady_clock::time_point last_save_ = std::chrono::steady_clock::now();
  bool save_due_ = false;
};

}  // namespace bitmill
