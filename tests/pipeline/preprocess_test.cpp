// Adapters on a packed base, trained end to end and merged: the same bytes on any mesh and after
// any stop.

#include "pipeline/preprocess.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <span>

#include "checkpoint/failing_files.hpp"
#include "checkpoint/run_dir.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/adapting/adapter_state.hpp"
#include "pipeline/adapting/merged_folder.hpp"
#include "pipeline/folder/run_status.hpp"
#include "pipeline/preprocess_job.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST_F(Preprocess, LowersTheLossAndWritesAnOrdinaryModel) {
  PreprocessOptions o = adapting("merged");
  o.steps = 90;
  o.lora.rank = 8;
  const PreprocessResult result = adapt(o);
  const std::vector<float>& held_out = result.history.held_out;
  ASSERT_EQ(held_out.size(), 19);  // the base, and every five steps
  EXPECT_LT(held_out.back(), 0.9F * held_out.front());
  EXPECT_LT(result.history.train.back(), result.history.train.front());
  const SourceModel merged(*files_, folder_ / "merged"), original(*files_, folder_ / "model");
  ASSERT_EQ(merged.tensors().names(), original.tensors().names());
  const auto config = nlohmann::json::parse(folder_.read("merged/config.json"));
  EXPECT_FALSE(config.contains("quantization_config"));
  const auto& record = config.at(nlohmann::json::json_pointer(preprocess_record));
  EXPECT_EQ(record["settings"]["rank"], 8);
  EXPECT_EQ(record["held_out_after"].get<float>(), held_out.back());
  EXPECT_THAT(folder_.read("merged/README.md"), HasSubstr("preprocessed for quantization"));
}

// Attention's output has no adapter: its weight is the packed one. Of the others the change is of
// the adapters' rank.
TEST_F(Preprocess, TheResultIsTheBasePlusAChangeOfTheAdaptersRank) {
  adapt(adapting("merged"));
  const SourceModel merged(*files_, folder_ / "merged"), base(*files_, folder_ / "packed");
  for (int64_t block = 0; block < 2; ++block) {
    for (const LinearShape& shape : block_linears(base.config(), block)) {
      const at::Tensor change =
          (merged.load_linear(shape) - base.load_linear(shape)).to(at::kDouble);
      if (shape.role == LinearRole::attention_output) {
        EXPECT_EQ(change.abs().max().item<double>(), 0) << shape.tensor;
        continue;
      }
      const at::Tensor values = at::linalg_svdvals(change);
      EXPECT_GT(values[1].item<double>(), 1e-3) << shape.tensor;
      EXPECT_LT(values[2].item<double>(), 1e-6) << shape.tensor;
    }
  }
}

// Rows of six tokens are documents of six tokens: what stands behind them is padding.
TEST_F(Preprocess, PaddingChangesNoLossAndNoBytesOnAnotherMesh) {
  Tokens rows;
  rows.windows = 60;
  rows.window_len = 6;
  for (int i = 0; i < 360; ++i) rows.ids.push_back((i * 7 + i / 50) % 31);
  write_token_file(*files_, folder_ / "rows.safetensors", rows);
  for (const TrainingLoss loss : {TrainingLoss::cross_entropy, TrainingLoss::divergence}) {
    const auto job = [&](const char* name, int64_t seq_len) {
      PreprocessOptions o = adapting(fmt::format("{}-{}", name, word_of(loss)));
      o.corpus = {folder_ / "rows.safetensors"};
      o.pack = false;
      o.loss = loss;
      o.seq_len = seq_len;
      o.steps = 5;
      o.lora.dropout = 0;  // its numbers depend on the place in a padded tensor
      return o;
    };
    const PreprocessOptions tight = job("tight", 6), wide = job("wide", 11);
    const std::vector<float> expected = adapt(tight).history.held_out;
    const std::vector<float> padded = adapt(wide).history.held_out;
    ASSERT_EQ(padded.size(), expected.size());
    EXPECT_NE(expected.front(), expected.back());
    for (size_t i = 0; i < padded.size(); ++i) {
      EXPECT_NEAR(padded[i], expected[i], 1e-4 * expected[i]) << word_of(loss) << i;
    }
    PreprocessOptions mesh = job("mesh", 11);
    mesh.stages = 2;
    adapt(mesh, 4);
    EXPECT_TRUE(bytes(file_name(mesh.output_dir)) == bytes(file_name(wide.output_dir)));
  }
}

TEST_F(Preprocess, TextOfAnEvaluationIsNotTrainedOn) {
  class Notes : public PreprocessObserver {
   public:
    void note(const std::string& sentence) override { all += sentence + "\n"; }
    std::string all;
  };
  PreprocessOptions o = adapting("merged");
  o.steps = 2;
  Tokens evaluation;
  for (int i = 0; i < 9; ++i) evaluation.ids.push_back((i * 7) % 31);  // as the corpus begins
  write_token_file(*files_, folder_ / "evaluation.safetensors", evaluation);
  o.evaluation = {folder_ / "evaluation.safetensors"};
  Notes notes;
  adapt_heard(o, notes);
  EXPECT_THAT(notes.all, HasSubstr("share text with --evaluation"));
  o.evaluation.clear();
  EXPECT_THAT(adapting_message(o), HasSubstr("evaluation is \""));
}

// Stages x replicas, threads.
struct AdaptedMesh {
  Mesh mesh;
  int threads;
};
constexpr std::array<AdaptedMesh, 7> adapted_meshes = {
    {{{1, 1}, 3}, {{2, 1}, 1}, {{1, 2}, 2}, {{2, 2}, 1}, {{1, 3}, 1}, {{4, 1}, 1}, {{1, 4}, 1}}};

TEST_F(Preprocess, BytesAreTheSameForAnyRanksStagesThreadsAndStreams) {
  pack(4);
  for (const TrainingLoss loss : {TrainingLoss::cross_entropy, TrainingLoss::divergence}) {
    const std::string word(word_of(loss));
    PreprocessOptions one = adapting("one-" + word);
    one.steps = 4;
    one.loss = loss;
    const PreprocessResult expected = adapt(one);
    for (const AdaptedMesh& many : adapted_meshes) {
      PreprocessOptions o = one;
      const std::string name = fmt::format("{}-{}x{}", word, many.mesh.stages, many.mesh.replicas);
      o.output_dir = folder_ / name;
      o.work_dir = o.scratch_dir = folder_ / (name + ".work");
      o.corpus_dir = folder_ / (name + ".corpus");
      o.stages = many.mesh.stages;
      if (many.mesh.stages == 2) o.stream_memory = 3000;  // a few samples
      const PreprocessResult result = adapt(o, many.mesh.ranks(), many.threads);
      EXPECT_TRUE(bytes(name) == bytes(file_name(one.output_dir))) << name;
      EXPECT_EQ(result.history.train, expected.history.train) << name;
      EXPECT_EQ(result.history.held_out, expected.history.held_out) << name;
    }
  }
}

// The draw of a dropout follows from seed, sequence, block and linear: so the loss of every step is
// the same on any mesh, to the last bit. At the first step B is zero, and nothing can be seen.
TEST_F(Preprocess, DropoutIsTheSameOnAnyMeshAtEveryStep) {
  class Losses : public PreprocessObserver {
   public:
    void step_done(const Step& step) override { all.push_back(step.loss); }
    std::vector<double> all;
  };
  pack(4);
  int jobs = 0;
  const auto losses = [&](const AdaptedMesh& mesh, double dropout, uint64_t seed) {
    PreprocessOptions o = adapting(fmt::format("job{}", jobs++));
    o.steps = 5;
    o.warmup = 0;
    o.stages = mesh.mesh.stages;
    o.lora.dropout = dropout;
    o.lora.seed = seed;
    Losses heard;
    adapt_heard(o, heard, mesh.mesh.ranks(), mesh.threads);
    return heard.all;
  };
  const std::vector<double> one = losses({{1, 1}, 1}, 0.5, 0);
  ASSERT_EQ(one.size(), 5);
  EXPECT_EQ(losses({{2, 2}, 1}, 0.5, 0), one);
  EXPECT_EQ(losses({{4, 1}, 2}, 0.5, 0), one);
  const std::vector<double> none = losses({{1, 1}, 1}, 0, 0);
  EXPECT_EQ(none[0], one[0]);
  for (size_t step = 1; step < 5; ++step) EXPECT_NE(none[step], one[step]) << step;
}

// What is kept in 16 bits is held so, and is the base's weight to the last bit in the result.
TEST_F(Preprocess, ALinearThatTheBaseKeptGoesIntoTheResult) {
  PreprocessOptions o = adapting("merged");
  o.steps = 2;
  o.named_targets = {"q"};
  o.lora.targets = {LinearRole::query};
  adapt(o);
  const SourceModel merged(*files_, folder_ / "merged"), base(*files_, folder_ / "packed"),
      original(*files_, folder_ / "model");
  const LinearShape kept = block_linears(base.config(), 1)[1];
  ASSERT_EQ(kept.tensor, "model.layers.1.self_attn.k_proj.weight");
  EXPECT_TRUE(merged.load_linear(kept).equal(original.load_linear(kept)));
  const LinearShape packed = block_linears(base.config(), 0)[1];
  EXPECT_TRUE(merged.load_linear(packed).equal(base.load_linear(packed)));
}

// Else a start that does not get the folder would have unpacked and indexed where another one
// reads. It holds no run before that: nobody is to ask it how the run stands.
TEST_F(Preprocess, TheWorkFolderIsClaimedBeforeTheTextIsRead) {
  class Phases : public PreprocessObserver {
   public:
    Phases(Files& files, const std::string& work_dir) : files_(files), work_dir_(work_dir) {}
    void phase_begins(const std::string& phase) override {
      if (phase.find("reading the corpus") == phase.npos) return;
      ++readings;
      claimed = find_state(files_, work_dir_).has_value();
      answered = answers > 0;
    }
    int readings = 0, answers = 0;
    bool claimed = false, answered = false;

   private:
    Files& files_;
    const std::string work_dir_;
  };
  PreprocessOptions o = adapting("merged");
  o.steps = 1;
  Phases phases(*files_, o.work_dir);
  control_.work_dir_answers = [&] { ++phases.answers; };
  adapt_heard(o, phases);
  EXPECT_EQ(phases.readings, 1);
  EXPECT_TRUE(phases.claimed);
  EXPECT_FALSE(phases.answered);
  EXPECT_EQ(phases.answers, 1);
}

class OfInterrupted : public Preprocess {
 protected:
  class Heard : public PreprocessObserver {
   public:
    void phase_begins(const std::string& phase) override {
      if (without_text && phase.find("reading the corpus") != phase.npos) {
        throw FileError("the text cannot be read");
      }
    }
    void step_done(const Step& step) override { last = step.done; }
    bool without_text = false;
    int64_t last = 0;
  };

  // A training that was asked to stop after three of its seven steps.
  PreprocessOptions interrupted() {
    PreprocessOptions o = adapting("merged");
    o.steps = 7;
    Heard heard;
    control_.wishes.asked = [&heard] { return heard.last >= 3 ? "SIGTERM" : ""; };
    EXPECT_THROW(adapt_heard(o, heard), AgreedStop);
    control_.wishes.asked = [] { return ""; };
    EXPECT_EQ(status(o).preprocess->steps_done, 3);
    return o;
  }

  RunStatus status(const PreprocessOptions& o) {
    return read_status(*files_, o.work_dir,
                       {std::chrono::milliseconds(20), std::chrono::milliseconds(5)});
  }
};

// A start with other settings claims the folder, too, and knows them to be others when it has read
// the text.
TEST_F(OfInterrupted, ATextThatCannotBeReadDoesNotMarkTheRunThatIsThereAsFailed) {
  const PreprocessOptions o = interrupted();
  PreprocessOptions other = o;
  other.lora.alpha = 5;
  Heard heard;
  heard.without_text = true;
  EXPECT_THROW(adapt_heard(other, heard), FileError);
  EXPECT_EQ(status(o).failure, "");
  EXPECT_EQ(status(o).phase, RunPhase::stopped);
  EXPECT_EQ(status(o).preprocess->steps_done, 3);
}

// The state of a training is read in one layout alone: a run of another one goes on with its own
// bitmill.
TEST_F(OfInterrupted, AStateOfAnotherLayoutIsRefusedAndNoFailureOfTheRun) {
  const PreprocessOptions o = interrupted();
  {
    const auto claim =
        Claim::take(*files_, o.work_dir, this_process("test", ""), {}, [](const std::string&) {});
    RunDir dir(*files_, *claim);
    const Progress progress = dir.state().open_live(all_adapters).progress;
    const float loss = 2;
    dir.write_live(progress, {{"losses", Dtype::float32, {1}, [loss](const ByteSink& sink) {
                                 sink(std::as_bytes(std::span(&loss, 1)));
                               }}});
    claim->release("stopped");
  }
  EXPECT_THAT(adapting_message(o, 2), HasSubstr("that another version of bitmill saved"));
  EXPECT_EQ(status(o).failure, "");
  EXPECT_EQ(status(o).preprocess->steps_done, 3);
}

TEST_F(Preprocess, StoppedAnywhereItGoesOnOnAnotherMeshWithTheSameBytes) {
  control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  for (const TrainingLoss loss : {TrainingLoss::cross_entropy, TrainingLoss::divergence}) {
    const auto short_job = [&](const std::string& name) {
      PreprocessOptions o = adapting(fmt::format("{}-{}", name, word_of(loss)));
      o.loss = loss;
      o.steps = 7;
      return o;
    };
    const PreprocessOptions whole = short_job("whole");
    const PreprocessResult expected = adapt(whole);
    int stops = 0;
    for (int leave_at = 0; leave_at < 8; leave_at += 2) {
      PreprocessOptions o = short_job(fmt::format("at{}", leave_at));
      const Mesh first = adapted_meshes[leave_at / 2 % 5].mesh;
      const Mesh second = adapted_meshes[(leave_at / 2 + 2) % 5].mesh;
      // Counted over all ranks: every one of them asks.
      std::atomic<int> left = leave_at * first.ranks();
      control_.wishes.asked = [&left] { return left-- <= 0 ? "SIGTERM" : ""; };
      o.stages = first.stages;
      try {
        adapt(o, first.ranks());
      } catch (const AgreedStop&) {
        ++stops;
      }
      control_.wishes.asked = [] { return ""; };
      o.stages = second.stages;
      const PreprocessResult result = adapt(o, second.ranks());
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(whole.output_dir))) << leave_at;
      if (result.already_done) continue;
      EXPECT_EQ(result.history.train, expected.history.train) << leave_at;
      EXPECT_EQ(result.history.held_out, expected.history.held_out) << leave_at;
    }
    EXPECT_GE(stops, 2);
  }
}

// A start that dies at the 30th step has saved those before it: the clock decides when.
TEST_F(Preprocess, SavesWhenItIsDueThoughNobodyStops) {
  class Steps : public PreprocessObserver {
   public:
    void step_done(const Step& step) override {
      steps.push_back(step.done);
      if (step.done == dies_at) throw FileError("died");
    }
    std::vector<int64_t> steps;
    int64_t dies_at = 0;
  };
  adapt(adapting("whole"));
  PreprocessOptions o = adapting("saved");
  o.save_every_s = 1e-9;
  Steps first, second;
  first.dies_at = 6;  // between two measurements
  EXPECT_THROW(adapt_heard(o, first), FileError);
  adapt_heard(o, second);
  EXPECT_EQ(second.steps.front(), 6);
  EXPECT_TRUE(bytes("saved") == bytes("whole"));
}

TEST_F(Preprocess, FailedAtAFileOperationItGivesTheSameBytesAfterwards) {
  control_.heartbeat = false;
  control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  const auto short_job = [&](const std::string& name) {
    PreprocessOptions o = adapting(name);
    o.steps = 2;
    return o;
  };
  adapt(short_job("whole"));
  int operation = 0;
  for (bool failed = true; failed; operation += 3) {
    const PreprocessOptions o = short_job(fmt::format("crash{}", operation));
    FailingFiles failing(operation, /*for_good=*/true);
    try {
      const auto comm = self_communicator();
      ThreadPool pool(1);
      PreprocessObserver silent;
      check_and_preprocess(o, failing, *comm, pool, silent, control_);
    } catch (const Error&) {
    }
    failed = failing.failed();
    adapt(o);
    ASSERT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << "operation " << operation;
  }
  EXPECT_GT(operation, 40);
}

TEST_F(Preprocess, AFinishedResultIsVerifiedAndNotMadeAgain) {
  const PreprocessOptions o = adapting("merged");
  adapt(o);
  EXPECT_TRUE(adapt(o).already_done);
  PreprocessOptions other = o;
  other.lora.alpha = 5;
  EXPECT_THAT(adapting_message(other), HasSubstr("alpha is 4.0 there and 5.0 here"));
}

TEST_F(Preprocess, AnotherTextIsAnotherJob) {
  const PreprocessOptions o = adapting("merged");
  adapt(o);
  Tokens corpus;
  for (int i = 0; i < 4000; ++i) corpus.ids.push_back(i % 29);
  write_token_file(*files_, folder_ / "corpus.safetensors", corpus);
  EXPECT_THAT(adapting_message(o), HasSubstr("corpus is"));
}

TEST_F(Preprocess, ARateThatDivergesIsAnErrorThatSaysSo) {
  PreprocessOptions o = adapting("merged");
  o.lora.rate = 1e30;
  EXPECT_THAT(adapting_message(o, 2), HasSubstr("a lower --lr"));
  EXPECT_FALSE(files_->exists(folder_ / "merged"));
}

TEST_F(Preprocess, WhatDoesNotFitTheModelIsNamed) {
  PreprocessOptions o = adapting("merged");
  o.lora.rank = 13;
  EXPECT_THAT(adapting_message(o),
              testing::AllOf(HasSubstr("--rank 13 is above"), HasSubstr("k_proj is 12 x 12")));
  o = adapting("merged");
  o.seq_len = 65;
  EXPECT_THAT(adapting_message(o), HasSubstr("the model's context of 64 tokens"));
  o = adapting("merged");
  o.packed = o.model;
  EXPECT_THAT(adapting_message(o), HasSubstr("is not packed"));
}

TEST_F(Preprocess, TargetsThatTheFamilyLacksAreNamed) {
  PreprocessOptions o = adapting("merged");
  o.named_targets = {"q", "fc1"};
  o.lora.targets = {LinearRole::query, LinearRole::up};
  EXPECT_THAT(adapting_message(o), HasSubstr("blocks of LlamaForCausalLM have no fc1"));
}

TEST_F(Preprocess, ABaseOfAnotherModelIsRefused) {
  test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_, 2));
  EXPECT_THAT(adapting_message(adapting("merged")), HasSubstr("was made from another model"));
  EXPECT_FALSE(files_->exists(folder_ / "merged.work"));
}

}  // namespace
}  // namespace bitmill
