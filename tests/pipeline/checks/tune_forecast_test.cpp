// The memory and state of `tune` for models that no test can load, from their
// configs alone.

#include "pipeline/checks/tune_forecast.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "model/family.hpp"

namespace bitmill {
namespace {

struct PlannedModel {
  int64_t hidden, intermediate, blocks, heads, kv_heads;
};
constexpr PlannedModel planned_7b = {4096, 11008, 32, 32, 32};
constexpr PlannedModel planned_70b = {8192, 28672, 80, 64, 8};

ModelConfig config_of(const PlannedModel& sizes) {
  return {.family = find_family("LlamaForCausalLM"),
          .tensor_prefix = "model.",
          .hidden_size = sizes.hidden,
          .embedding_size = sizes.hidden,
          .intermediate_size = sizes.intermediate,
          .blocks = sizes.blocks,
          .heads = sizes.heads,
          .kv_heads = sizes.kv_heads,
          .head_dim = sizes.hidden / sizes.heads,
          .vocab_size = 32000,
          .context = 4096,
          .windowed_blocks = {},
          .norm_epsilon = 1e-5,
          .rope = {.theta = 10000},
          .allowed_keys = {}};
}

TuneForecast planned(const PlannedModel& sizes, const Mesh& mesh, int64_t sign_blocks = 0,
                     bool half = false, bool signs = true) {
  TuneOptions options;
  options.learn_signs = signs;
  options.sign_blocks = sign_blocks;
  options.half_latents = half;
  return plan_tune(options, config_of(sizes), mesh, 8);
}

// By hand: rows x low columns, where 820 of 4096 and 2202 of 11008 columns are salient.
constexpr int64_t signs_7b =
    int64_t{32} * ((4 * 4096 + 2 * 11008) * (4096 - 820) + 4096 * (11008 - 2202));

TEST(TuneForecast, CountsTheSignsOfAModelFromItsConfig) {
  const TuneForecast forecast = planned(planned_7b, {1, 1});
  EXPECT_EQ(forecast.latents, signs_7b);
  EXPECT_EQ(forecast.linears, 32 * 7);
}

// Of a binary weight: 4 bytes of its latent and 8 of its moments, which replicas divide; at batch 4
// on one rank up to four gradients beside them.
TEST(TuneForecast, ReplicasDivideTheMomentsAndStagesEverything) {
  const auto beside_scales = [&](const Mesh& mesh) {
    return planned(planned_7b, mesh).peak_memory_bytes -
           planned(planned_7b, mesh, 0, false, false).peak_memory_bytes;
  };
  const int64_t one = beside_scales({1, 1}), stages = beside_scales({8, 1});
  EXPECT_GT(one, 12 * signs_7b);
  EXPECT_LT(stages, one / 5);
  // Four replicas: one sample and so one gradient each, and a quarter of the moments.
  const int64_t replicas = beside_scales({1, 4});
  EXPECT_GT(replicas, (4 + 8 / 4) * signs_7b);
  EXPECT_LT(replicas, one);
}

TEST(TuneForecast, FewerSignBlocksAndSixteenBitsTakeLess) {
  const TuneForecast all = planned(planned_70b, {8, 8});
  const TuneForecast some = planned(planned_70b, {8, 8}, 8);
  EXPECT_LT(some.peak_memory_bytes, all.peak_memory_bytes);
  EXPECT_LT(some.state_bytes, all.state_bytes / 5);
  EXPECT_EQ(some.sign_groups.count(), 10);
  EXPECT_EQ(some.sign_groups.most_in_stage(8), 1);
  const TuneForecast half = planned(planned_70b, {8, 8}, 0, true);
  EXPECT_LT(half.state_bytes, all.state_bytes * 6 / 10);
  EXPECT_EQ(half.peak_memory_bytes, all.peak_memory_bytes);
}

// What is sent ahead of a slow neighbour is part of what the user allows for streams.
TEST(TuneForecast, WhatIsSentAheadComesOffTheStreamMemory) {
  TuneOptions options;
  options.stream_memory = int64_t{1} << 30;
  const ModelConfig config = config_of(planned_7b);
  const TuneForecast one = plan_tune(options, config, {1, 1}, 8);
  EXPECT_EQ(one.stream_budget, options.stream_memory);
  const TuneForecast two = plan_tune(options, config, {2, 1}, 8);
  EXPECT_LT(two.stream_budget, options.stream_memory);
  EXPECT_GT(two.stream_budget, 0);
  options.stream_memory = 1000;  // less than one sample
  const TuneForecast none = plan_tune(options, config, {2, 1}, 8);
  EXPECT_EQ(none.stream_budget, 0);
  options.stream_memory = 0;
  EXPECT_EQ(plan_tune(options, config, {2, 1}, 8).stream_budget, INT64_MAX);
}

}  // namespace
}  // namespace bitmill
