// Signs trained end to end: they flip, the result is better than scales alone give, its bytes
// depend neither on ranks nor on stops, and its state is cut into blocks.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>

#include "checkpoint/audit.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/failing_files.hpp"
#include "checkpoint/run_state.hpp"
#include "format/packed_layout.hpp"
#include "method/first_latents.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/tune_job.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

class TuneSigns : public Tune {
 protected:
  // With so many windows, 30 to train on, that there is something to gain.
  TuneOptions with_scales(const std::string& name) {
    TuneOptions o = tuning(name);
    o.samples = 40;
    return o;
  }
  TuneOptions with_signs(const std::string& name) {
    TuneOptions o = with_scales(name);
    o.learn_signs = true;
    o.sign_rate = 0.02;  // there are few steps
    return o;
  }

  std::vector<std::byte> tensor(const TensorFolder& folder, const std::string& name) {
    std::vector<std::byte> bytes(static_cast<size_t>(folder.info(name).bytes));
    folder.read(name, bytes);
    return bytes;
  }

  std::vector<std::string> parts_in(const std::string& work) {
    const auto state = find_state(*files_, folder_ / work);
    std::vector<std::string> names = files_->list(join_path(state->path, "parts"));
    std::ranges::sort(names);
    return names;
  }
};

TEST_F(TuneSigns, FlipAndGiveLessDivergenceThanScalesAlone) {
  const TuneResult scales = tune_on(with_scales("scales"));
  const TuneResult signs = tune_on(with_signs("signs"));
  EXPECT_LT(std::ranges::min(signs.history.held_out_kl),
            std::ranges::min(scales.history.held_out_kl));
  EXPECT_LT(divergence("signs"), divergence("scales"));
  EXPECT_EQ(signs.bits_per_weight, scales.bits_per_weight);

  const TensorFolder before(*files_, folder_ / "packed"), after(*files_, folder_ / "signs");
  ASSERT_EQ(before.names(), after.names());
  int flipped = 0;
  for (const std::string& name : before.names()) {
    ASSERT_EQ(before.info(name).shape, after.info(name).shape);
    const bool same = tensor(before, name) == tensor(after, name);
    if (name.ends_with(".signs")) {
      flipped += same ? 0 : 1;
    } else if (!name.ends_with(".row_scale") && !name.ends_with(".row_mean") &&
               !name.ends_with(".col_gain")) {
      EXPECT_TRUE(same) << name;
    }
  }
  EXPECT_GE(flipped, 10);  // of 13
  const auto config = nlohmann::json::parse(folder_.read("signs/config.json"));
  const auto& settings = config.at(nlohmann::json::json_pointer(tuning_record)).at("settings");
  EXPECT_EQ(settings.at("lr_sign"), 0.02);
}

TEST_F(TuneSigns, OfAnEpochThatIsNotTheLastComeBackWithItsScales) {
  TuneOptions o = with_signs("tuned");
  o.rate = 0.15;  // gains first, then loses
  o.epochs = 8;
  const TuneResult result = tune_on(o);
  ASSERT_LT(result.history.best(), result.history.epochs());
  TuneOptions shown = with_scales("again");  // measures what was written as "as given"
  shown.model = folder_ / "tuned";
  shown.epochs = 1;
  const TuneResult again = tune_on(shown);
  EXPECT_EQ(again.history.held_out_kl.front(),
            result.history.held_out_kl[static_cast<size_t>(result.history.best())]);
}

TEST_F(TuneSigns, WhereNothingIsGainedTheGivenModelComesBack) {
  TuneOptions o = with_signs("tuned");
  o.rate = 3;
  o.sign_rate = 3;
  o.epochs = 9;
  EXPECT_EQ(tune_on(o).history.best(), 0);
  EXPECT_TRUE(bytes("tuned") == bytes("packed"));
}

TEST_F(TuneSigns, BytesAreTheSameForAnyRanksStagesAndThreads) {
  for (const int64_t batch : {3, 8}) {
    TuneOptions one = with_signs(fmt::format("one{}", batch));
    one.batch = batch;
    const TuneResult expected = tune_on(one);
    ASSERT_GT(expected.history.best(), 0);
    for (const auto& [mesh, threads] :
         {std::pair(Mesh{1, 1}, 3), {{1, 2}, 1}, {{2, 1}, 2}, {{2, 2}, 1}, {{1, 3}, 1}}) {
      TuneOptions o = with_signs(fmt::format("{}-{}x{}", batch, mesh.stages, mesh.replicas));
      o.batch = batch;
      o.stages = mesh.stages;
      const TuneResult result = tune_on(o, mesh.ranks(), threads);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(one.output_dir)))
          << o.output_dir;
      EXPECT_EQ(result.history.held_out_kl, expected.history.held_out_kl) << o.output_dir;
    }
  }
}

TEST_F(TuneSigns, StoppedAnywhereTheyGoOnOnAnotherMeshWithTheSameBytes) {
  const TuneResult whole = tune_on(with_signs("whole"));
  const std::array meshes = {Mesh{1, 1}, Mesh{2, 1}, Mesh{1, 2}, Mesh{2, 2}};
  int stops = 0;
  for (int leave_at = 2; leave_at < 14; leave_at += 2) {
    TuneOptions o = with_signs(fmt::format("at{}", leave_at));
    const Mesh first = meshes[leave_at / 2 % 4], second = meshes[(leave_at / 2 + 1) % 4];
    std::atomic<int> left = leave_at * first.ranks();
    control_.wishes.asked = [&left] { return left-- <= 0 ? "SIGTERM" : ""; };
    o.stages = first.stages;
    try {
      tune_on(o, first.ranks());
    } catch (const AgreedStop&) {
      ++stops;
    }
    control_.wishes.asked = [] { return ""; };
    o.stages = second.stages;
    const TuneResult result = tune_on(o, second.ranks());
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << leave_at;
    if (result.already_done) continue;
    EXPECT_EQ(result.history.held_out_kl, whole.history.held_out_kl) << leave_at;
  }
  EXPECT_GE(stops, 3);
}

// Once as for a process that died there, once, at every third, as for one operation that failed.
TEST_F(TuneSigns, FailedAtAnyFileOperationTheyGiveTheSameBytesAfterwards) {
  control_.heartbeat = false;
  control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  const auto short_tuning = [&](const std::string& name) {
    TuneOptions o = with_signs(name);
    o.samples = 4;
    o.epochs = 2;
    o.batch = 2;
    return o;
  };
  tune_on(short_tuning("whole"));
  for (const bool for_good : {true, false}) {
    int operation = 0;
    for (bool failed = true; failed; operation += for_good ? 3 : 7) {
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

// Each block has a file of its own, of the step that live/ names; verify reads them.
TEST_F(TuneSigns, StateHasAPartForEveryBlockAndNoOlderOnes) {
  const TuneOptions o = with_signs("tuned");
  stop_tuning(o, 6);
  const auto state = find_state(*files_, folder_ / "tuned.work");
  const int64_t steps = RunState(*files_, state->path).live_progress(0).steps;
  ASSERT_GT(steps, 0);
  EXPECT_THAT(parts_in("tuned.work"),
              testing::ElementsAre(fmt::format("0000.{}.safetensors", steps),
                                   fmt::format("0001.{}.safetensors", steps)));
  ThreadPool pool(1);
  EXPECT_THAT(audit_run(*files_, folder_ / "tuned.work", pool).faults, testing::IsEmpty());
  const std::string damaged = join_path(join_path(state->path, "parts"), parts_in("tuned.work")[1]);
  std::string text = read_text(*files_, damaged);
  text.back() ^= 1;
  replace_file(*files_, damaged, text);
  const RunAudit audit = audit_run(*files_, folder_ / "tuned.work", pool);
  ASSERT_EQ(audit.faults.size(), 1);
  EXPECT_EQ(audit.faults[0].path, damaged);
  EXPECT_THAT(tuning_message(o), testing::AllOf(HasSubstr("parts/" + parts_in("tuned.work")[1]),
                                                HasSubstr("is damaged")));
}

TEST_F(TuneSigns, In16BitsTheStateIsHalfAsLargeAndStopsAndMeshesGiveTheSameBytes) {
  const auto with_half = [&](const std::string& name) {
    TuneOptions o = with_signs(name);
    o.half_latents = true;
    return o;
  };
  const CheckedTune whole = check_tune(with_signs("r"), *files_, 1, 1);
  const CheckedTune half = check_tune(with_half("r"), *files_, 1, 1);
  EXPECT_LT(half.forecast.state_bytes, whole.forecast.state_bytes * 7 / 10);
  const TuneResult expected = tune_on(with_half("one"));
  ASSERT_GT(expected.history.best(), 0);
  EXPECT_NE(tune_on(with_signs("full")).history.held_out_kl, expected.history.held_out_kl);
  TuneOptions many = with_half("many");
  stop_tuning(many, 7);
  many.stages = 2;
  tune_on(many, 4);
  EXPECT_TRUE(bytes("many") == bytes("one"));
}

TEST_F(TuneSigns, ScalesAloneAndSignsAreDifferentJobs) {
  const TuneOptions o = with_signs("tuned");
  tune_on(o);
  EXPECT_THAT(tuning_message(with_scales("tuned")),
              HasSubstr("learned_code_scales is false there and not set here"));
  TuneOptions other = o;
  other.sign_rate = 3e-3;
  EXPECT_THAT(tuning_message(other), HasSubstr("lr_sign is 0.02 there and 0.003 here"));
}

// 4-bit scales are trained along where quantize has learned them.
TEST_F(TuneSigns, CodeScalesAreTrainedWhereQuantizeHasLearnedThem) {
  files_->remove_tree(folder_ / "packed");
  files_->remove_tree(folder_ / "packed.work");
  QuantizeOptions q = options("packed");
  q.method.learned.code_scales = true;
  run(q);
  const CheckedTune checked = check_tune(with_signs("r"), *files_, 1, 1);
  EXPECT_TRUE(checked.forecast.parts.code_scales);
  EXPECT_FALSE(check_tune(tuning("r"), *files_, 1, 1).forecast.parts.code_scales);
  ASSERT_GT(tune_on(with_signs("tuned")).history.best(), 0);
  const TensorFolder before(*files_, folder_ / "packed"), after(*files_, folder_ / "tuned");
  int changed = 0;
  for (const std::string& name : before.names()) {
    if (!name.ends_with(".code_scale")) continue;
    if (tensor(before, name) != tensor(after, name)) ++changed;
  }
  EXPECT_EQ(changed, 14);
}

TEST_F(TuneSigns, BeginAtTheOriginalsWeightsWhereTheirSignsAgree) {
  const SourceModel model(*files_, folder_ / "packed"), original(*files_, folder_ / "model");
  ThreadPool pool(2);
  const LinearShape shape = block_linears(model.config(), 0).front();
  PackedLinear packed = read_packed_linear(model.tensors(), shape.tensor, shape.rows, shape.cols);
  const at::Tensor weight = original.load_linear(shape);
  const at::Tensor as_packed = first_latents(packed, weight, pool);
  for (int64_t j = 0; j < 3; ++j) packed.signs[0] ^= 1U << j;  // row 0
  const at::Tensor flipped = first_latents(packed, weight, pool);
  const int64_t words = packed::words_for(packed.low_cols(), 32);
  for (int64_t i = 0; i < shape.rows; ++i) {
    for (int64_t j = 0; j < packed.low_cols(); ++j) {
      const float latent = flipped[i][j].item<float>();
      const float sign = packed::get_bit(packed.signs.data() + i * words, j) != 0 ? 1 : -1;
      EXPECT_EQ(latent >= 0 ? 1 : -1, sign);
      if (i == 0 && j < 3) {
        EXPECT_FLOAT_EQ(latent, 0.02F * sign);
        EXPECT_GT(std::abs(as_packed[i][j].item<float>()), 0.02F);
      } else {
        EXPECT_EQ(latent, as_packed[i][j].item<float>());
      }
    }
  }
  EXPECT_LE(as_packed.abs().max().item<float>(), 1.4F);
}

}  // namespace
}  // namespace bitmill
