// Run folders that lie about numbers: asking for their status neither loops nor divides by zero.

#include "pipeline/run_status.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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
    files.put("/run/blocks.jsonl", events_);
    if (!trouble_.empty()) files.put("/run/trouble.json", trouble_);
    claim->release("stopped");
    return read_status(files, "/run", {});
  }

  std::string events_, trouble_;
};

TEST_F(LyingRun, AnHonestOneIsRead) {
  EXPECT_EQ(status().blocks_total, 2);
  EXPECT_EQ(status({{"max_blocks", 1}}).blocks_total, 1);
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
