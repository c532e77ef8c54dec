// Draws against the probabilities of transformers: tests/golden/infer/make_sampler.py.

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/files.hpp"
#include "infer/sampler.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

SamplerSettings sampler_settings(const json& golden) {
  return {.temperature = golden.at("temperature"),
          .top_k = golden.at("top_k"),
          .top_p = golden.at("top_p"),
          .min_p = golden.at("min_p"),
          .repetition_penalty = golden.at("repetition_penalty")};
}

TEST(SamplerGolden, DrawsFollowTheProbabilitiesOfTransformersInAllItsSteps) {
  constexpr int draws = 20000;
  const json golden =
      json::parse(read_text(*posix_files(), BITMILL_SOURCE_DIR "/tests/golden/infer/sampler.json"));
  const auto logits = golden.at("logits").get<std::vector<float>>();
  const auto prompt = golden.at("prompt_ids").get<std::vector<int32_t>>();
  ASSERT_GE(golden.at("cases").size(), 10u);
  for (const json& one : golden.at("cases")) {
    SamplerSettings settings = sampler_settings(one.at("settings"));
    std::vector<int> times(logits.size(), 0);
    for (int seed = 0; seed < draws; ++seed) {
      settings.seed = static_cast<uint64_t>(seed);
      ++times[Sampler(settings, prompt, std::ssize(logits)).pick(logits)];
    }
    for (size_t id = 0; id < logits.size(); ++id) {
      const double expected = one.at("probabilities")[id];
      if (expected == 0) {
        EXPECT_EQ(times[id], 0) << "token " << id << ": " << one.at("settings");
        continue;
      }
      const double deviation = std::sqrt(expected * (1 - expected) / draws);
      EXPECT_NEAR(times[id] / static_cast<double>(draws), expected, 5 * deviation + 1e-4)
          << "token " << id << ": " << one.at("settings");
    }
  }
}

}  // namespace
}  // namespace bitmill
