// Epochs of a tuning: which one is kept, what one that diverges leaves behind, and how long they
// are said to take.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "checkpoint/run_dir.hpp"
#include "method/tuned_block.hpp"
#include "pipeline/folder/loss_log.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tune.hpp"
#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/trained_stage.hpp"
#include "pipeline/tuning/tuning_state.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST_F(Tune, WhereNothingIsGainedTheGivenModelComesBackAfterTwoEpochs) {
  TuneOptions o = tuning("tuned");
  o.rate = 3;  // every factor is thrown about
  o.epochs = 9;
  const TuneResult result = tune_on(o);
  EXPECT_EQ(result.history.best(), 0);
  EXPECT_EQ(result.history.epochs(), 2);
  EXPECT_TRUE(bytes("tuned") == bytes("packed"));
}

TEST_F(Tune, TheEpochThatIsKeptIsTheBestOne) {
  TuneOptions o = tuning("tuned");
  o.rate = 0.15;
  o.epochs = 8;
  const TuneResult result = tune_on(o);
  const auto& kl = result.history.held_out_kl;
  EXPECT_EQ(kl[result.history.best()], *std::ranges::min_element(kl));
}

TEST_F(Tune, TheLogHasTheHeldOutLossBeforeTheFirstEpochToo) {
  const TuneOptions o = tuning("tuned");
  stop_tuning(o, 4);  // two blocks of the original, two steps, and after the epoch
  const TuneResult result = tune_on(o);
  const LossLog log = read_loss_log(*files_, o.work_dir);
  const auto& kl = result.history.held_out_kl;
  ASSERT_EQ(log.points.size(), kl.size());
  for (size_t i = 0; i < kl.size(); ++i) {
    EXPECT_EQ(log.points[i].at, static_cast<int64_t>(i));
    ASSERT_TRUE(log.points[i].held_out) << i;
    EXPECT_EQ(static_cast<float>(*log.points[i].held_out), kl[i]) << i;
  }
}

// The saved state of a start that was stopped, with its factors taken times this.
void multiply_saved_factors(Files& files, const std::string& work_dir, float by) {
  const auto claim =
      Claim::take(files, work_dir, this_process("test", ""), {}, [](const std::string&) {});
  RunDir dir(files, *claim);
  const SavedBlock saved = dir.state().open_live(whole_model);
  EXPECT_EQ(saved.progress, (Progress{whole_model, 1, 3}));  // one epoch of three steps
  std::vector<TensorSource> tensors;
  for (const auto& [name, info] : saved.tensors.tensors()) {
    std::vector<float> values(static_cast<size_t>(info.elements()));
    saved.tensors.read(info, std::as_writable_bytes(std::span(values)));
    if (name == "factors") {
      for (float& value : values) value *= by;
    }
    tensors.push_back({name, Dtype::float32, info.shape,
                       [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); }});
  }
  dir.write_live(saved.progress, tensors);
  claim->release("stopped");
}

// 1e30: a step's divergence is not finite; 1e4: no scale fits float16 when the epoch ends, whether
// or not a step's divergence is finite.
TEST_F(Tune, AnEpochThatDivergesEndsTheRunWithTheBestOneBefore) {
  std::string expected;
  for (const float by : {1e30F, 1e4F}) {
    for (const Mesh& mesh : {Mesh{1, 1}, Mesh{2, 2}, Mesh{1, 3}}) {
      TuneOptions o = tuning(fmt::format("{}-{}", by, mesh.ranks()));
      stop_tuning(o, 4);  // two blocks of the original, two steps, and after the epoch
      multiply_saved_factors(*files_, o.work_dir, by);
      o.stages = mesh.stages;
      const TuneResult result = tune_on(o, mesh.ranks());
      EXPECT_EQ(result.history.epochs(), 2);
      EXPECT_TRUE(result.history.diverged());
      EXPECT_EQ(result.history.best(), 1);
      if (expected.empty()) expected = bytes(file_name(o.output_dir));
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == expected) << o.output_dir;
      EXPECT_LT(divergence(file_name(o.output_dir)), divergence("packed"));
    }
  }
}

TEST_F(Tune, AStageCanStoreFactorsWhoseScalesFitFloat16) {
  const SourceModel model(*files_, folder_ / "packed");
  const Rotary rotary = make_rotary(model.config(), 9);
  ThreadPool pool(1);
  const auto device = cpu_device(pool);
  const TrainedStage stage({0, 2}, [&](int64_t block) {
    return std::make_unique<TunedBlock>(model, block, TunedParts(), nullptr, rotary, *device);
  });
  const at::Tensor factors = at::ones({stage.layout().size()});
  EXPECT_TRUE(stage.can_store(factors));
  const int64_t last = stage.layout().segments().back().offset;
  for (const float bad : {1e30F, std::numeric_limits<float>::quiet_NaN()}) {
    factors[last] = bad;
    EXPECT_FALSE(stage.can_store(factors)) << bad;
  }
}

TEST_F(Tune, AReferenceThatOverflowsIsNamedBeforeAnythingIsTrained) {
  std::vector<TensorSource> tensors = test::tiny_tensors(config_);
  for (TensorSource& tensor : tensors) {
    if (tensor.name != "model.norm.weight" && tensor.name != "lm_head.weight") continue;
    const std::vector<float> huge(static_cast<size_t>(tensor.bytes()) / sizeof(float), 3e38F);
    tensor.produce = [huge](const ByteSink& sink) { sink(std::as_bytes(std::span(huge))); };
  }
  test::write_model(*files_, folder_ / "huge", config_, tensors);
  TuneOptions o = tuning("r");
  o.reference = folder_ / "huge";
  EXPECT_THAT(tuning_message(o), HasSubstr("not finite on the 3 windows that are held out"));
}

// What a run tells; steps and the original's blocks take so long at least.
class SlowListener : public TuneObserver {
 public:
  explicit SlowListener(std::chrono::milliseconds pause) : pause_(pause) {}

  void teacher_done(int64_t blocks_done, int64_t /*blocks*/) override {
    teacher_blocks = blocks_done;
    if (blocks_done > 0) std::this_thread::sleep_for(pause_);
  }
  void step_done(int, int64_t) override {
    ++steps;
    std::this_thread::sleep_for(pause_);
  }
  void epoch_done(const TuningHistory&, double seconds) override { last_seconds = seconds; }

  int64_t teacher_blocks = 0;
  int64_t steps = 0;
  double last_seconds = 0;

 private:
  const std::chrono::milliseconds pause_;
};

// A block of the original counts as a step: two of 0.3 s each and a second are more than what is
// left after the second one.
TEST_F(Tune, ADeadlineIsMetWhileTheOriginalIsComputed) {
  pack(3);
  SlowListener listener(std::chrono::milliseconds(300));
  control_.wishes.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(2100);
  EXPECT_THROW(tune_heard(tuning("r"), listener), AgreedStop);
  EXPECT_LT(listener.teacher_blocks, 3);
  EXPECT_EQ(listener.steps, 0);
}

TEST_F(Tune, AnEpochThatEarlierStartsBeganHasTheSecondsOfAllItsSteps) {
  TuneOptions o = tuning("r");
  o.epochs = 1;
  stop_tuning(o, 2);  // two blocks of the original; after the first step
  SlowListener listener(std::chrono::milliseconds(200));
  tune_heard(o, listener);
  EXPECT_EQ(listener.steps, 2);
  EXPECT_GE(listener.last_seconds, 3 * 0.2);
}

}  // namespace
}  // namespace bitmill
