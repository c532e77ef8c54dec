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
  EXPECT_EQ(forecast.state_bytes / 2, 4 * (3 * forecast.values + 20'000));
}

// The base stays packed: a 70B model needs less than its 140 GB of 16-bit weights, by far.
TEST(PreprocessForecast, SeventyBillionWeightsFitWhereTheirSixteenBitsDoNot) {
  EXPECT_LT(memory(llama_70b, {1, 1}), 80 * gigabyte);
  EXPECT_GT(memory(llama_70b, {1, 1}), 20 * gigabyte);
  EXPECT_LT(memory(llama_70b, {8, 1}), memory(llama_70b, {1, 1}) * 6 / 10);
  EXPECT_LT(memory(llama_70b, {40, 1}), memory(llama_70b, {8, 1}));
}

// Replicas divide the moments, and the samples of a step.
TEST(PreprocessForecast, ReplicasNeedLessThanOneRankEach) {
  EXPECT_LT(memory(llama_7b, {1, 2}), memory(llama_7b, {1, 1}));
}

}  // namespace
}  // namespace bitmill
