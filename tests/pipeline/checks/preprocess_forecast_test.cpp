// The memory of `preprocess` for models that no test can load, from their configs alone.

#include <gtest/gtest.h>

#include "model/family.hpp"
#include "pipeline/checks/preprocess_forecast.hpp"

namespace bitmill {
namespace {

struct Sizes {
  int64_t hidden, intermediate, blocks, heads, kv_heads;
};
constexpr Sizes llama_7b = {4096, 11008, 32, 32, 32};
constexpr Sizes llama_70b = {8192, 28672, 80, 64, 8};

ModelConfig config_of(const Sizes& sizes) {
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

int64_t memory(const Sizes& sizes, const Mesh& mesh) {
  return forecast_preprocess(PreprocessOptions(), config_of(sizes), 0, mesh, 8).peak_memory_bytes;
}

constexpr int64_t gigabyte = 1'000'000'000;

// By hand: 64 (rows + cols) for q, k, v (4096 + 4096 each), gate, up, down (4096 + 11008 each).
TEST(PreprocessForecast, CountsTheValuesOfTheAdapters) {
  const PreprocessForecast forecast =
      forecast_preprocess(PreprocessOptions(), config_of(llama_7b), 0, {1, 1}, 8);
  EXPECT_EQ(forecast.values, 32 * 64 * (3 * 8192 + 3 * 15104));
  EXPECT_EQ(forecast.steps, 10'000);
  EXPECT_EQ(forecast.warmup_steps, 500);
  EXPECT_EQ(forecast.state_bytes / 2, 4 * 3 * forecast.values);
}

// The base stays packed: a 70B model needs less than its 140 GB of 16-bit weights, by far.
TEST(PreprocessForecast, SeventyBillionWeightsFitWhereTheirSixteenBitsDoNot) {
  EXPECT_LT(memory(llama_70b, {1, 1}), 80 * gigabyte);
  EXPECT_GT(memory(llama_70b, {1, 1}), 20 * gigabyte);
  EXPECT_LT(memory(llama_70b, {8, 1}), memory(llama_70b, {1, 1}) * 6 / 10);
  EXPECT_LT(memory(llama_70b, {40, 1}), memory(llama_70b, {8, 1}));
}

// By hand, for 7B: 4 bytes a weight of a block, 6.7 billion weights at about 1.6 bits.
TEST(PreprocessForecast, TheMemoryIsTheSumOfItsParts) {
  const PreprocessForecast forecast =
      forecast_preprocess(PreprocessOptions(), config_of(llama_7b), 0, {4, 2}, 8);
  const PreprocessMemory& parts = forecast.memory;
  EXPECT_EQ(forecast.peak_memory_bytes, parts.total());
  EXPECT_EQ(parts.block, 4 * (4 * 4096 * 4096 + 3 * 4096 * 11008));
  EXPECT_EQ(parts.heads, 4 * 32000 * 4096);
  EXPECT_NEAR(static_cast<double>(parts.packed), 6.476e9 / 4 * 1.65 / 8, 1e7);
  EXPECT_EQ(forecast.result_bytes, 2 * int64_t{6'738'153'472});
}

// A teacher's outputs wait for 64 sequences, or for all that there are, and for 1% held out.
TEST(PreprocessForecast, AShortTrainingHoldsFewOutputsOfATeacher) {
  PreprocessOptions options;
  options.loss = TrainingLoss::divergence;
  const auto streams = [&](int64_t steps) {
    options.steps = steps;
    return forecast_preprocess(options, config_of(llama_7b), 0, {1, 1}, 8).memory.streams;
  };
  constexpr int64_t sample = 2048 * 4096 * 4;
  EXPECT_EQ(streams(32) - streams(2), (64 - 4) * sample);
  EXPECT_EQ(streams(3200) - streams(32), (64 - 1) * sample);  // of the text that is held out
  EXPECT_EQ(streams(10'000), streams(3200));
  options.stream_memory = 1'000'000'000;
  EXPECT_LT(streams(10'000), 1'000'000'000 + 10 * sample);
}

// Replicas divide the moments, and the samples of a step.
TEST(PreprocessForecast, ReplicasNeedLessThanOneRankEach) {
  EXPECT_LT(memory(llama_7b, {1, 2}), memory(llama_7b, {1, 1}));
}

}  // namespace
}  // namespace bitmill
