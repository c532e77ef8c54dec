#include "checkpoint/event_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/run_dir.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;

class EventLogTest : public testing::Test {
 protected:
  EventLogTest() { RunDir(files_, *claim_).begin({"{}", {"cpu"}}); }

  std::string shared() const { return files_.get("/run/blocks.jsonl"); }

  MemoryFiles files_;
  const std::unique_ptr<Claim> claim_ =
      Claim::take(files_, "/run", {"h", 1, "", "", "", "t"}, {}, [](auto&) {});
  EventLog zero_{files_, *claim_, 0}, one_{files_, *claim_, 1}, two_{files_, *claim_, 2};
};

TEST_F(EventLogTest, OnlyWriterZeroWritesTheSharedFile) {
  one_.append("a");
  EXPECT_FALSE(files_.exists("/run/blocks.jsonl"));
  zero_.append("b");
  two_.append("c");
  EXPECT_EQ(shared(), "b\n");
  EXPECT_THAT(read_events(files_, "/run"), ElementsAre("b", "a", "c"));  // as status shows them
  zero_.collect();
  EXPECT_EQ(shared(), "b\na\nc\n");
  EXPECT_THAT(read_events(files_, "/run"), ElementsAre("b", "a", "c"));
}

TEST_F(EventLogTest, ALineIsCollectedOnceAndNotBeforeItIsWhole) {
  const std::string path = claim_->state_path() + "/events/0001.jsonl";
  files_.put(path, "a\nhal");
  zero_.collect();
  zero_.collect();
  EXPECT_EQ(shared(), "a\n");
  files_.put(path, "a\nhalf\n");
  zero_.collect();
  EXPECT_EQ(shared(), "a\nhalf\n");
}

TEST_F(EventLogTest, TheNextStartTakesOverWhatACrashLeft) {
  zero_.append("a");
  one_.append("b");
  zero_.collect();
  one_.append("c");
  two_.append("d");
  files_.put("/run/blocks.jsonl", shared() + R"({"cut sho)");
  EventLog next(files_, *claim_, 0);
  next.take_over({"c", "e"});
  EXPECT_EQ(shared(), "a\nb\n{\"cut sho\nc\nd\ne\n");
  EXPECT_TRUE(files_.list(claim_->state_path() + "/events").empty());
  next.take_over({"e"});
  EXPECT_EQ(shared(), "a\nb\n{\"cut sho\nc\nd\ne\n");
}

TEST_F(EventLogTest, AFinishedRunKeepsTheLastLines) {
  one_.append("a");
  RunDir(files_, *claim_).finish();
  EXPECT_EQ(shared(), "a\n");
}

}  // namespace
}  // namespace bitmill
