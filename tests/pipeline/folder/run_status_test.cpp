// Run folders that lie about numbers: asking for their status neither loops nor divides by zero.

#include "pipeline/folder/run_status.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "base/error.hpp"
#include "checkpoint/run_dir.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

class LyingRun : public testing::Test {
 protected:
  RunStatus status(const json& change = json::object()) {
    json fingerprint = {{"model", {{"blocks", 2}}}, {"max_blocks", 0}, {"epochs", 4}, {"lag", 2}};
    fingerprint.merge_patch(change);
    MemoryFiles files;
    const auto claim = Claim::take(files, "/run", {}, {}, [](const auto&) {});
    RunDir dir(files, *claim);
    dir.begin({fingerprint.dump(), {"cpu"}});
    if (live_) dir.write_live(*live_, {some_tensor()});
    files.put("/run/blocks.jsonl", events_);
    if (!trouble_.empty()) files.put("/run/trouble.json", trouble_);
    claim->release("stopped");
    return read_status(files, "/run", {});
  }

  static TensorSource some_tensor() {
    return {"losses", Dtype::float32, {1}, [](const ByteSink& sink) {
              const float loss = 0;
              sink(std::as_bytes(std::span(&loss, 1)));
            }};
  }

  std::string events_, trouble_;
  std::optional<Progress> live_;
};

TEST_F(LyingRun, AnHonestOneIsRead) {
  EXPECT_EQ(status().blocks_total, 2);
  EXPECT_EQ(status({{"max_blocks", 1}}).blocks_total, 1);
}

TEST_F(LyingRun, TheJobIsWhatItsFingerprintSays) {
  EXPECT_EQ(status().job, "quantize");
  EXPECT_FALSE(status().tuning);
  EXPECT_EQ(status({{"job", "tune"}}).job, "tune");
}

TEST_F(LyingRun, ATuningIsToldInEpochsOfTheWholeModel) {
  live_ = Progress{0, 2, 60};
  events_ =
      "{\"block\": 0, \"epoch\": 0, \"loss\": 3, \"held_out\": 2.5, \"seconds\": 4}\n"
      "{\"block\": 0, \"epoch\": 1, \"loss\": 2, \"held_out\": 1.5, \"seconds\": 6}\n";
  const RunStatus found = status({{"job", "tune"}, {"epochs", 6}});
  ASSERT_TRUE(found.tuning);
  EXPECT_EQ(found.tuning->epochs_done, 2);
  EXPECT_EQ(found.tuning->epochs_most, 6);
  EXPECT_EQ(found.tuning->held_out_kl, 1.5);
  EXPECT_EQ(found.eta_s, 4 * 5);
  // An epoch that diverged: what is not finite is null in the log.
  events_ += "{\"block\": 0, \"epoch\": 2, \"loss\": null, \"held_out\": null}\n";
  EXPECT_FALSE(status({{"job", "tune"}, {"epochs", 6}}).tuning->held_out_kl);
}

TEST_F(LyingRun, NumbersThatCannotBeAreRefused) {
  EXPECT_THROW(status({{"lag", 0}}), FormatError);
  EXPECT_THROW(status({{"lag", 5}}), FormatError);
  EXPECT_THROW(status({{"epochs", -1}}), FormatError);
  EXPECT_THROW(status({{"epochs", int64_t{1} << 40}}), FormatError);
  EXPECT_THROW(status({{"model", {{"blocks", int64_t{1} << 40}}}}), FormatError);
  EXPECT_THROW(status({{"model", nullptr}}), FormatError);
  EXPECT_THROW(status({{"max_blocks", "all"}}), FormatError);
}

TEST_F(LyingRun, EventsOfOtherTypesArePassedOver) {
  events_ = "{\"epoch\": 0, \"seconds\": \"long\", \"loss\": []}\n{\"epoch\": 1, \"seconds\": 2}\n";
  EXPECT_EQ(status().epoch_s, 1);
}

TEST_F(LyingRun, AFailureOfAnotherRankIsAFailureOfTheRun) {
  EXPECT_EQ(status().phase, RunPhase::stopped);
  trouble_ = R"({"kind": "failed", "blamed": [3], "exit_code": 1})";
  EXPECT_EQ(status().phase, RunPhase::failed);
  EXPECT_EQ(status().failure.substr(0, 18), "rank 3 ended with ");
  for (const char* other : {R"({"kind": "failed", "blamed": [3], "exit_code": 75})",
                            R"({"kind": "lost", "blamed": [3]})", R"({"kind": "failed"})", R"([1])",
                            "{\"kind\": \"fai"}) {
    trouble_ = other;
    EXPECT_EQ(status().phase, RunPhase::stopped) << other;
  }
}

}  // namespace
}  // namespace bitmill
