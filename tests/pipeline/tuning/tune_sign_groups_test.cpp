// Signs of some blocks at a time: every group is trained in its own steps, the others stay, and the
// bytes depend neither on ranks nor on stops.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <numbers>
#include <set>

#include "checkpoint/run_state.hpp"
#include "method/pack.hpp"
#include "method/tuned_block.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/stage_optimizer.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

class TuneSignGroups : public Tune {
 protected:
  TuneSignGroups() { pack(3); }

  // Groups {0, 2} and {1}; 24 steps.
  TuneOptions two_at_a_time(const std::string& name) {
    TuneOptions o = tuning(name);
    o.samples = 40;
    o.learn_signs = true;
    o.sign_rate = 0.02;  // there are few steps
    o.sign_blocks = 2;
    return o;
  }

  // Numbers of the blocks of which `after` has other signs than `before`.
  std::set<int> changed_blocks(const std::string& before, const std::string& after) {
    const TensorFolder a(*files_, folder_ / before), b(*files_, folder_ / after);
    std::set<int> changed;
    for (const std::string& name : a.names()) {
      if (!name.ends_with(".signs") || tensor(a, name) == tensor(b, name)) continue;
      const std::string layers = "layers.";
      changed.insert(std::stoi(name.substr(name.find(layers) + layers.size())));
    }
    return changed;
  }

  // A job that was stopped when its state had so many steps; its name.
  std::string job_with_steps(int64_t steps) {
    for (int leave_at = 1; leave_at < 12; ++leave_at) {
      TuneOptions o = two_at_a_time(fmt::format("steps{}-{}", steps, leave_at));
      o.samples = 8;  // 6 to train on
      o.batch = 3;
      o.epochs = 2;
      o.sign_rate = 0.3;  // an optimiser's first step
      stop_tuning(o, leave_at);
      const auto state = find_state(*files_, o.work_dir);
      if (!state) continue;
      const RunState run(*files_, state->path);
      if (run.has_live(0) && run.live_progress(0).steps == steps) return file_name(o.output_dir);
    }
    ADD_FAILURE() << "no stop after " << steps << " steps";
    return "";
  }

  SafetensorsFile part(const std::string& job, int64_t steps, int block) {
    const auto state = find_state(*files_, folder_ / (job + ".work"));
    return RunState(*files_, state->path).open_part(block, steps);
  }

  // Of the first linear of a block: the signs that quantize has made, those that a part has, and
  // those of the latents that a part has.
  std::vector<uint32_t> packed_signs(int block) { return first_linear(block).signs; }
  std::vector<uint32_t> saved_signs(const std::string& job, int64_t steps, int block) {
    const SafetensorsFile file = part(job, steps, block);
    const TensorInfo& info = file.info("signs.0");
    std::vector<uint32_t> words(static_cast<size_t>(info.elements()));
    file.read(info, std::as_writable_bytes(std::span(words)));
    return words;
  }
  std::vector<uint32_t> latents_as_signs(const std::string& job, int64_t steps, int block) {
    const SafetensorsFile file = part(job, steps, block);
    const TensorInfo& info = file.info("learned.latents.0");
    const at::Tensor latents = at::empty({info.elements()});
    file.read(info, bytes_of(latents));
    const PackedLinear linear = first_linear(block);
    return pack_latents(latents.view({linear.rows, linear.low_cols()}));
  }
  PackedLinear first_linear(int block) {
    const SourceModel model(*files_, folder_ / "packed");
    const LinearShape shape = block_linears(model.config(), block).front();
    return read_packed_linear(model.tensors(), shape.tensor, shape.rows, shape.cols);
  }

  static std::vector<std::byte> tensor(const TensorFolder& folder, const std::string& name) {
    std::vector<std::byte> bytes(static_cast<size_t>(folder.info(name).bytes));
    folder.read(name, bytes);
    return bytes;
  }
};

TEST_F(TuneSignGroups, FlipInAllBlocksAndAllAtATimeIsAnotherJob) {
  const TuneResult result = tune_on(two_at_a_time("two"));
  ASSERT_EQ(result.history.best(), 3);
  EXPECT_EQ(changed_blocks("packed", "two"), (std::set<int>{0, 1, 2}));
  TuneOptions all = two_at_a_time("two");
  all.sign_blocks = 0;
  EXPECT_THAT(tuning_message(all), HasSubstr("sign_groups is 2 there and not set here"));
  all = two_at_a_time("all");
  all.sign_blocks = 0;
  tune_on(all);
  TuneOptions three = two_at_a_time("all");
  three.sign_blocks = 3;  // the same job: of all three blocks
  EXPECT_TRUE(tune_on(three).already_done);
  EXPECT_FALSE(bytes("all") == bytes("two"));
}

// Four steps, two an epoch: the first epoch is the first group's, the second one the other's.
TEST_F(TuneSignGroups, AGroupIsTrainedInItsOwnStepsAndKeepsItsSignsAfterwards) {
  const std::string first = job_with_steps(2), second = job_with_steps(3);
  const std::vector<uint32_t> given_0 = packed_signs(0), given_1 = packed_signs(1);
  const std::vector<uint32_t> trained_0 = latents_as_signs(first, 2, 0);
  EXPECT_NE(trained_0, given_0);
  EXPECT_EQ(saved_signs(first, 2, 1), given_1);
  EXPECT_EQ(saved_signs(second, 3, 0), trained_0);
  EXPECT_NE(latents_as_signs(second, 3, 1), given_1);
}

TEST_F(TuneSignGroups, BytesAreTheSameForAnyRanksStagesAndThreads) {
  const TuneResult expected = tune_on(two_at_a_time("one"));
  ASSERT_GT(expected.history.best(), 0);
  // Three stages: the second one has no latents at first, the others have none later.
  for (const auto& [mesh, threads] :
       {std::pair(Mesh{1, 1}, 3), {{1, 2}, 1}, {{3, 1}, 1}, {{2, 2}, 1}}) {
    TuneOptions o = two_at_a_time(fmt::format("{}x{}", mesh.stages, mesh.replicas));
    o.stages = mesh.stages;
    const TuneResult result = tune_on(o, mesh.ranks(), threads);
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("one")) << o.output_dir;
    EXPECT_EQ(result.history.held_out_kl, expected.history.held_out_kl) << o.output_dir;
  }
}

TEST_F(TuneSignGroups, StoppedAnywhereTheyGoOnOnAnotherMeshWithTheSameBytes) {
  for (const bool half : {false, true}) {
    const auto job = [&](const std::string& name) {
      TuneOptions o = two_at_a_time(fmt::format("{}{}", name, half ? 16 : 32));
      o.half_latents = half;
      return o;
    };
    const TuneResult whole = tune_on(job("whole"));
    const std::array meshes = {Mesh{1, 1}, Mesh{3, 1}, Mesh{1, 2}, Mesh{2, 2}};
    int stops = 0;
    // Within the epochs a rank asks once a step. The second group begins after 12 of 24.
    for (const int leave_at : half ? std::vector{15} : std::vector{5, 14, 15, 16}) {
      TuneOptions o = job(fmt::format("at{}", leave_at));
      const Mesh first = meshes[leave_at % 4], second = meshes[(leave_at + 1) % 4];
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
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(job("whole").output_dir)))
          << leave_at;
      if (result.already_done) continue;
      EXPECT_EQ(result.history.held_out_kl, whole.history.held_out_kl) << leave_at;
    }
    EXPECT_GE(stops, half ? 1 : 3);
  }
}

// A block outside of the group has its signs in its part, and no latents.
TEST_F(TuneSignGroups, StateHasTheLatentsOfOneGroup) {
  const TuneOptions o = two_at_a_time("tuned");
  stop_tuning(o, 8);
  const auto state = find_state(*files_, folder_ / "tuned.work");
  const RunState run(*files_, state->path);
  const int64_t steps = run.live_progress(0).steps;
  ASSERT_GT(steps, 0);
  ASSERT_LE(steps, 12);
  for (int block = 0; block < 3; ++block) {
    const SafetensorsFile part = run.open_part(block, steps);
    EXPECT_EQ(part.tensors().contains("learned.latents.0"), block != 1) << block;
    EXPECT_EQ(part.tensors().contains("signs.0"), block == 1) << block;
    EXPECT_TRUE(part.tensors().contains("best_signs.0")) << block;
  }
}

TEST_F(TuneSignGroups, TakeLessMemoryAndStateAndAreForecastSo) {
  TuneOptions o = two_at_a_time("r");
  const TuneForecast two = check_tune(o, *files_, 1, 1).forecast;
  o.sign_blocks = 0;
  const TuneForecast all = check_tune(o, *files_, 1, 1).forecast;
  o.sign_blocks = 3;
  EXPECT_EQ(check_tune(o, *files_, 1, 1).forecast.peak_memory_bytes, all.peak_memory_bytes);
  // A third of latents and moments, in two states; instead a bit for each of their signs.
  const int64_t fewer = all.latents / 3;
  EXPECT_NEAR(static_cast<double>(all.state_bytes - two.state_bytes),
              static_cast<double>(2 * (fewer * 12 - fewer / 8)), 64);
  EXPECT_LT(two.peak_memory_bytes, all.peak_memory_bytes - fewer * 12);
}

TEST_F(TuneSignGroups, MoreGroupsThanStepsAreRefused) {
  TuneOptions o = tuning("r");
  o.learn_signs = true;
  o.sign_blocks = 1;
  o.epochs = 1;
  o.batch = 5;  // two steps
  const std::string words =
      "--sign-blocks 1 makes 3 groups of the 3 blocks, and each needs a step of its own, but there "
      "are 2: raise --sign-blocks, or the number of steps (--epochs, --samples)";
  EXPECT_THAT(tuning_message(o), HasSubstr(words));
  // A chain asks before it quantizes.
  try {
    check_before_packed(o, *files_, 1);
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(words));
  }
}

// A gradient of 1 everywhere: AdamW's first step is the rate, whatever came before it elsewhere.
TEST_F(TuneSignGroups, WhatIsLargeHasStepsAndRatesOfItsOwn) {
  const SourceModel model(*files_, folder_ / "packed"), original(*files_, folder_ / "model");
  const Rotary rotary = make_rotary(model.config(), 9);
  ThreadPool pool(1);
  const auto device = cpu_device(pool);
  const TunedParts parts{.rate = 0.5, .signs = true, .sign_rate = 0.25};
  const TrainedStage stage({0, 1}, [&](int64_t block) {
    return std::make_unique<TunedBlock>(model, block, parts, &original, rotary, *device);
  });
  const auto comm = self_communicator();
  StageOptimizer optimizer(stage, {RateSchedule::cosine_to_zero, 8}, *comm, *device);
  const int64_t size = stage.layout().size(), small = stage.layout().small_size();
  const auto step = [&] {
    at::Tensor values = at::zeros({size});
    std::vector<Partials> sums(1);
    sums[0][0] = at::ones({size});
    optimizer.step(1, sums, values);
    return std::pair(-values[0].item<float>(), -values[small].item<float>());
  };
  for (int i = 0; i < 4; ++i) step();
  const auto [factor, latent] = step();
  const double at_four = 0.5;  // of eight steps
  EXPECT_NEAR(factor, 0.5 * at_four, 1e-5);
  EXPECT_NEAR(latent, 0.25 * at_four, 1e-5);
  optimizer.begin_large({RateSchedule::cosine_to_zero, 2}, 5);
  const double at_five = (1 + std::cos(std::numbers::pi * 5 / 8)) / 2;
  const auto [next_factor, first_latent] = step();
  EXPECT_NEAR(next_factor, 0.5 * at_five, 1e-5);
  EXPECT_NEAR(first_latent, 0.25, 1e-5);
  optimizer.set_steps(6);
  EXPECT_NEAR(step().second, 0.25 * 0.5, 1e-5);
}

}  // namespace
}  // namespace bitmill
