// Tuning the scales of a packed model end to end: the same bytes on any mesh and after any stop,
// and never a worse model.

#include "pipeline/tune.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/failing_files.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/pretended_files.hpp"
#include "pipeline/tune_job.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST_F(Tune, LowersTheDivergenceAndKeepsEverythingButTheScales) {
  const TuneResult result = tune_on(tuning("tuned"));
  EXPECT_GT(result.history.best(), 0);
  EXPECT_LT(result.history.held_out_kl.back(), result.history.held_out_kl.front());
  const TensorFolder before(*files_, folder_ / "packed"), after(*files_, folder_ / "tuned");
  ASSERT_EQ(before.names(), after.names());
  int changed = 0;
  for (const std::string& name : before.names()) {
    ASSERT_EQ(before.info(name).shape, after.info(name).shape);
    std::vector<std::byte> a(before.info(name).bytes), b(after.info(name).bytes);
    before.read(name, a);
    after.read(name, b);
    const bool may =
        name.ends_with(".row_scale") || name.ends_with(".row_mean") || name.ends_with(".col_gain");
    EXPECT_TRUE(may || a == b) << name;
    if (a != b) ++changed;
  }
  EXPECT_EQ(changed, 3 * 13);  // of the linears that are packed
  EXPECT_TRUE(is_packed_folder(*files_, folder_ / "tuned"));
  const auto config = nlohmann::json::parse(folder_.read("tuned/config.json"));
  const auto& record = config["quantization_config"]["bitmill"]["tuning"];
  EXPECT_EQ(record["kept_epoch"], result.history.best());
  EXPECT_EQ(record["settings"]["batch"], 4);

  Windows windows{4, 9, {}};
  for (int i = 0; i < 36; ++i) windows.ids.push_back((i * 7 + i / 5) % 31);
  EXPECT_LT(kl_from_original("tuned", windows), kl_from_original("packed", windows));
}

// Stages x replicas, threads.
struct MeshCase {
  Mesh mesh;
  int threads;
};
constexpr std::array<MeshCase, 8> meshes = {{{{1, 1}, 3},
                                             {{1, 2}, 1},
                                             {{1, 3}, 2},
                                             {{2, 1}, 1},
                                             {{2, 2}, 2},
                                             {{3, 1}, 1},
                                             {{4, 1}, 2},
                                             {{2, 3}, 1}}};

TEST_F(Tune, BytesAreTheSameForAnyRanksStagesAndThreads) {
  pack(4);
  for (const int64_t batch : {3, 8}) {
    TuneOptions one = tuning(fmt::format("one{}", batch));
    one.batch = batch;
    const TuneResult expected = tune_on(one);
    ASSERT_GT(expected.history.best(), 0);
    for (const MeshCase& many : meshes) {
      TuneOptions o = tuning(fmt::format("{}-{}x{}", batch, many.mesh.stages, many.mesh.replicas));
      o.batch = batch;
      o.stages = many.mesh.stages;
      if (many.mesh.stages == 2) o.stream_memory = 3000;  // a few samples
      const TuneResult result = tune_on(o, many.mesh.ranks(), many.threads);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(one.output_dir)))
          << o.output_dir;
      EXPECT_EQ(result.history.train_kl, expected.history.train_kl) << o.output_dir;
      EXPECT_EQ(result.history.held_out_kl, expected.history.held_out_kl) << o.output_dir;
    }
  }
}

TEST_F(Tune, StoppedAnywhereItGoesOnOnAnotherMeshWithTheSameBytes) {
  const TuneResult whole = tune_on(tuning("whole"));
  int stops = 0;
  for (int leave_at = 0; leave_at < 14; leave_at += 2) {
    TuneOptions o = tuning(fmt::format("at{}", leave_at));
    const Mesh first = meshes[leave_at / 2 % 5].mesh;
    const Mesh second = meshes[(leave_at / 2 + 3) % 5].mesh;
    // Counted over all ranks: every one of them asks.
    std::atomic<int> left = leave_at * first.ranks();
    control_.wishes.asked = [&left] { return left-- <= 0 ? "SIGTERM" : ""; };
    o.stages = first.stages;
    try {
      tune_on(o, first.ranks());
    } catch (const AgreedStop& stop) {
      EXPECT_THAT(stop.what(), HasSubstr("SIGTERM"));
      ++stops;
    }
    control_.wishes.asked = [] { return ""; };
    o.stages = second.stages;
    const TuneResult result = tune_on(o, second.ranks());
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << leave_at;
    if (result.already_done) continue;
    EXPECT_EQ(result.history.train_kl, whole.history.train_kl) << leave_at;
    EXPECT_EQ(result.history.held_out_kl, whole.history.held_out_kl) << leave_at;
  }
  EXPECT_GE(stops, 5);
}

// Once as for a process that died there, once, at every third, as for one operation that failed.
TEST_F(Tune, FailedAtAnyFileOperationItGivesTheSameBytesAfterwards) {
  control_.heartbeat = false;
  control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  const auto short_tuning = [&](const std::string& name) {
    TuneOptions o = tuning(name);
    o.samples = 4;
    o.epochs = 2;
    o.batch = 2;
    return o;
  };
  tune_on(short_tuning("whole"));
  for (const bool for_good : {true, false}) {
    int operation = 0;
    for (bool failed = true; failed; operation += for_good ? 1 : 3) {
      const TuneOptions o =
          short_tuning(fmt::format("{}{}", for_good ? "crash" : "error", operation));
      FailingFiles failing(operation, for_good);
      try {
        const auto comm = self_communicator();
        ThreadPool pool(1);
        TuneObserver silent;
        tune(o, failing, *comm, pool, silent, control_);
      } catch (const Error&) {
      }
      failed = failing.failed();
      tune_on(o);
      ASSERT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << "operation " << operation;
    }
    EXPECT_GT(operation, 40);
  }
}

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

TEST_F(Tune, AFinishedResultIsVerifiedAndNotMadeAgain) {
  const TuneOptions o = tuning("tuned");
  tune_on(o);
  EXPECT_TRUE(tune_on(o).already_done);
  TuneOptions other = o;
  other.epochs = 2;
  EXPECT_THAT(tuning_message(other), HasSubstr("epochs is 3 there and 2 here"));
}

TEST_F(Tune, ADiskThatIsTooSmallIsNamedBeforehand) {
  PretendedFiles files;
  TuneOptions o = tuning("r");
  o.stream_memory = 1000;
  const TunePlan plan = plan_tune(o, files, 2, 1);
  EXPECT_GT(plan.scratch_bytes, 0);
  const int64_t needed = plan.packed_bytes + plan.state_bytes + 2 * plan.scratch_bytes;
  files.free = needed;
  plan_tune(o, files, 2, 1);
  files.free = needed - 1;
  try {
    plan_tune(o, files, 2, 1);
    ADD_FAILURE() << "a full disk was accepted";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("{} bytes", needed)));
  }
}

TEST_F(Tune, EverythingThatIsWrongIsSaidAtOnce) {
  TuneOptions o = tuning("tuned");
  o.epochs = 0;
  o.reference = folder_ / "packed";
  o.calib = folder_ / "missing.txt";
  folder_.write("tuned/notes.txt", "not ours");
  const std::string said = tuning_message(o);
  EXPECT_THAT(said, testing::Not(HasSubstr("another configuration")));
  EXPECT_THAT(
      said, testing::AllOf(HasSubstr("4 problems; nothing was begun"), HasSubstr("--epochs"),
                           HasSubstr("is packed: give the 16-bit model"), HasSubstr("missing.txt"),
                           HasSubstr("tuned")));
}

TEST_F(Tune, WhatCannotBeTunedIsRefused) {
  const auto expect_refusal = [&](const auto& change, const char* words, int ranks = 1) {
    TuneOptions o = tuning("r");
    change(o);
    EXPECT_THAT(tuning_message(o, ranks), HasSubstr(words));
    EXPECT_FALSE(files_->exists(folder_ / "r"));
    EXPECT_FALSE(files_->exists(folder_ / "r.work"));
  };
  expect_refusal([&](TuneOptions& o) { o.model = o.reference; }, "is not packed");
  expect_refusal([&](TuneOptions& o) { o.reference = o.model; }, "is packed");
  auto other = config_;
  other["intermediate_size"] = 24;
  test::write_model(*files_, folder_ / "other", other, test::tiny_tensors(other));
  expect_refusal([&](TuneOptions& o) { o.reference = folder_ / "other"; },
                 "the intermediate size is 24 there and 20 here");
  expect_refusal(
      [&](TuneOptions& o) {
        o.seq_len = 60;
        o.calib = folder_ / "short.safetensors";
        Tokens tokens;
        tokens.ids.assign(20, 1);
        write_token_file(*files_, o.calib, tokens);
      },
      "20 tokens");
  expect_refusal([&](TuneOptions& o) { o.batch = 11; }, "--batch 11 is more than the 10 windows");
  expect_refusal([&](TuneOptions& o) { o.held_out = {0, 1}; }, "--held-out is 0");
  expect_refusal([&](TuneOptions& o) { o.stages = 2; }, "--stages is 2", 3);
  expect_refusal([&](TuneOptions& o) { o.stages = 3; }, "--stages is 3", 3);
  expect_refusal([&](TuneOptions& o) { o.rate = 0; }, "--lr is 0");
  expect_refusal([&](TuneOptions& o) { o.work_dir = o.model + "/work"; }, "lies in --model");
  // Nobody should be told to remove what the job reads.
  for (const char* read : {"packed", "model"}) {
    expect_refusal([&](TuneOptions& o) { o.output_dir = folder_ / read; }, "lies in --");
  }
  expect_refusal([&](TuneOptions& o) { o.work_dir = o.output_dir; }, "lies in --output-dir");
  folder_.write("full/something", "x");
  expect_refusal([&](TuneOptions& o) { o.output_dir = folder_ / "full"; }, "is not empty");
}

}  // namespace
}  // namespace bitmill
