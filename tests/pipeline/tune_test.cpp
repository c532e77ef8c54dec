// Tuning the scales of a packed model end to end: the same bytes on any mesh and after any stop,
// and never a worse model.

#include "pipeline/tune.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "checkpoint/failing_files.hpp"
#include "device/host_product.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tune_job.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST_F(Tune, TheCardSaysWhatWasMeasuredAndTheSourcesCardIsKeptOnce) {
  folder_.write("model/README.md", "the source's");
  pack(2);
  tune_on(tuning("tuned"));
  EXPECT_THAT(folder_.read("tuned/README.md"),
              testing::AllOf(HasSubstr("base model | `model`"), HasSubstr("nats before tuning")));
  EXPECT_EQ(folder_.read("tuned/SOURCE_README.md"), "the source's");
  EXPECT_FALSE(files_->exists(folder_ / "tuned/SOURCE_README.2.md"));
  EXPECT_TRUE(files_->exists(folder_ / "tuned/modeling_bitmill.py"));
}

TEST_F(Tune, LowersTheDivergenceAndKeepsEverythingButTheScales) {
  const TuneResult result = tune_on(tuning("tuned"));
  EXPECT_GT(result.history.best(), 0);
  EXPECT_LT(std::ranges::min(result.history.held_out_kl), result.history.held_out_kl.front());
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

  EXPECT_LT(divergence("tuned"), divergence("packed"));
}

TEST_F(Tune, NoTokenThatIsHeldOutIsTrainedOn) {
  Tokens tokens;
  for (int32_t i = 0; i < 31; ++i) tokens.ids.push_back(i);  // a token is its position
  TuneOptions o = tuning("r");
  o.seq_len = 3;
  o.calib = folder_ / "positions.safetensors";
  write_token_file(*files_, o.calib, tokens);
  for (const uint64_t seed : {0, 1, 2, 3}) {
    o.seed = seed;
    const CheckedTune checked = check_tune(o, *files_, 1, 1);
    ASSERT_EQ(checked.forecast.train, 10);
    ASSERT_EQ(checked.forecast.held_out, 3);
    std::set<int32_t> trained;
    for (int64_t i = 0; i < 13; ++i) {
      for (const int32_t token : checked.windows.window(i)) {
        if (i < 10) {
          trained.insert(token);
        } else {
          EXPECT_FALSE(trained.contains(token)) << token << ", seed " << seed;
        }
      }
    }
  }
}

TEST_F(Tune, AShuffleSeedGivesAnotherResultAndIsRecorded) {
  tune_on(tuning("plain"));
  TuneOptions o = tuning("shuffled");
  o.shuffle_seed = 3;
  tune_on(o);
  EXPECT_NE(bytes("shuffled"), bytes("plain"));
  const auto config = nlohmann::json::parse(folder_.read("shuffled/config.json"));
  const auto& tuning = config.at(nlohmann::json::json_pointer(tuning_record));
  EXPECT_EQ(tuning.at("settings").at("shuffle_seed"), 3);
}

TEST_F(Tune, BothBackendsEndNearEachOther) {
  const TuneOptions fast = tuning("fast");
  TuneOptions slow = tuning("slow");
  slow.backend = "reference";
  const TuningHistory by_cpu = tune_on(fast).history, by_reference = tune_on(slow).history;
  EXPECT_GT(by_reference.best(), 0);
  EXPECT_EQ(by_reference.best(), by_cpu.best());
  EXPECT_NEAR(by_reference.held_out_kl.back(), by_cpu.held_out_kl.back(),
              0.01 * by_cpu.held_out_kl.front());
  EXPECT_LT(divergence("slow", "fast"), 0.01 * divergence("packed"));
  const auto config = nlohmann::json::parse(folder_.read("slow/config.json"));
  const auto& record = config["quantization_config"]["bitmill"]["tuning"];
  EXPECT_EQ(record["settings"]["backend"], "reference");
  EXPECT_THAT(record["numerics_class"].get<std::string>(), HasSubstr("reference, float32"));
  slow.backend = "cpu";
  EXPECT_THAT(tuning_message(slow), HasSubstr("backend is \"reference\" there and \"cpu\" here"));
}

TEST_F(Tune, ProductsInBfloat16EndNearFloat32WithTheSameBytesOnTwoRanks) {
  if (!why_no_bfloat16().empty()) GTEST_SKIP() << why_no_bfloat16();
  TuneOptions rounded = tuning("rounded");
  rounded.dtype = Dtype::bfloat16;
  const TuningHistory exact = tune_on(tuning("exact")).history;
  const TuningHistory history = tune_on(rounded).history;
  EXPECT_NEAR(history.held_out_kl.back(), exact.held_out_kl.back(),
              0.05 * exact.held_out_kl.front());
  EXPECT_FALSE(bytes("rounded") == bytes("exact"));
  TuneOptions two = tuning("two");
  two.dtype = Dtype::bfloat16;
  tune_on(two, 2, 2);
  EXPECT_TRUE(bytes("rounded") == bytes("two"));
}

// Stages x replicas, threads.
struct MeshCase {
  Mesh mesh;
  int threads;
};
constexpr std::array<MeshCase, 8> tuned_meshes = {{{{1, 1}, 3},
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
    for (const MeshCase& many : tuned_meshes) {
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
    const Mesh first = tuned_meshes[leave_at / 2 % 5].mesh;
    const Mesh second = tuned_meshes[(leave_at / 2 + 3) % 5].mesh;
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
        check_and_tune(o, failing, *comm, pool, silent, control_);
      } catch (const Error&) {
      }
      failed = failing.failed();
      tune_on(o);
      ASSERT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << "operation " << operation;
    }
    EXPECT_GT(operation, 40);
  }
}

TEST_F(Tune, AFinishedResultIsVerifiedAndNotMadeAgain) {
  const TuneOptions o = tuning("tuned");
  tune_on(o);
  EXPECT_TRUE(tune_on(o).already_done);
  TuneOptions other = o;
  other.epochs = 2;
  EXPECT_THAT(tuning_message(other), HasSubstr("epochs is 3 there and 2 here"));
}

// As before the hashes of the verification were taken for it.
TEST_F(Tune, TheSourceHashIsOfTheBytesOfBothModels) {
  tune_on(tuning("tuned"));
  ThreadPool pool(1);
  std::string expected;
  for (const char* name : {"packed", "model"}) {
    const SourceModel model(*files_, folder_ / name);
    expected += combined_hash(hash_tensors(model, model.tensors().names(), pool));
  }
  const auto config = nlohmann::json::parse(folder_.read("tuned/config.json"));
  EXPECT_EQ(config["quantization_config"]["bitmill"]["tuning"]["source_hash"], expected);
}

TEST_F(Tune, RanksWithDifferentCopiesOfThePackedModelAreNamed) {
  test::write_model(*files_, folder_ / "other", config_, test::tiny_tensors(config_, 2));
  folder_.write("other/tokenizer_config.json", "{}");
  QuantizeOptions q = options("copy");
  q.model = folder_ / "other";
  q.ignore = "layers.1.self_attn.k_proj";
  run(q);
  std::atomic<int> named = 0;
  on_ranks(2, 1, [&](Communicator& comm, ThreadPool& pool) {
    TuneOptions o = tuning("tuned");
    if (comm.rank() == 1) o.model = folder_ / "copy";
    TuneObserver silent;
    try {
      check_and_tune(o, *files_, comm, pool, silent, control_);
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("rank 1 and rank 0 have different packed models"));
      ++named;
    }
  });
  EXPECT_EQ(named, 2);
  EXPECT_FALSE(files_->exists(folder_ / "tuned.work"));
}

class Notes : public TuneObserver {
 public:
  void note(const std::string& sentence) override { all.push_back(sentence); }

  std::vector<std::string> all;
};

TEST_F(Tune, AReferenceWithOtherWeightsIsMentionedWithBothHashes) {
  Notes same, other;
  TuneOptions o = tuning("same");
  tune_heard(o, same);
  EXPECT_THAT(same.all, testing::IsEmpty());
  test::write_model(*files_, folder_ / "other", config_, test::tiny_tensors(config_, 2));
  o = tuning("other-tuned");
  o.reference = folder_ / "other";
  tune_heard(o, other);
  const auto config = nlohmann::json::parse(folder_.read("packed/config.json"));
  const std::string recorded = config["quantization_config"]["bitmill"]["source_hash"];
  EXPECT_THAT(other.all, testing::ElementsAre(testing::AllOf(HasSubstr("are not those that"),
                                                             HasSubstr("names " + recorded))));
}

}  // namespace
}  // namespace bitmill
