#include "comm/watch/judge.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "comm/watch/messages.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;

constexpr WatchTimes times = {.timeout = 100, .lost_grace = 1, .failure_grace = 10};

// Rank 0's, of three, with everybody there at second 0.
RankJudge full_judge() {
  RankJudge judge({"n0", "n1", "n2"}, 0, times, 0);
  judge.joined(1, 0);
  judge.joined(2, 0);
  return judge;
}

void all_beat(RankJudge& judge, uint64_t progress, double now) {
  for (int rank = 0; rank < 3; ++rank) judge.beat(rank, {progress, "works", "barrier"}, now);
}

TEST(RankJudge, ALossIsJudgedAfterItsGraceAndNotBefore) {
  RankJudge judge = full_judge();
  judge.gone(2, 50);
  EXPECT_FALSE(judge.judge(50.9));
  const auto trouble = judge.judge(51);
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->kind, TroubleKind::lost);
  EXPECT_THAT(trouble->ranks, ElementsAre(2));
  EXPECT_EQ(trouble->reports[2].host, "n2");
}

TEST(RankJudge, SilenceIsCountedFromTheLastBeat) {
  RankJudge judge = full_judge();
  all_beat(judge, 1, 30);
  judge.beat(0, {2, "", ""}, 120);
  judge.beat(1, {2, "", ""}, 120);
  EXPECT_FALSE(judge.judge(129));
  const auto trouble = judge.judge(130);
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->kind, TroubleKind::silent);
  EXPECT_THAT(trouble->ranks, ElementsAre(2));
  EXPECT_EQ(trouble->seconds, 100);
}

TEST(RankJudge, BeatsWithoutProgressAreNotProgress) {
  RankJudge judge = full_judge();
  for (double now = 1; now <= 100; ++now) all_beat(judge, 5, now);
  EXPECT_FALSE(judge.judge(100));  // the counters moved at second 1
  const auto trouble = judge.judge(101);
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->kind, TroubleKind::stuck);
  EXPECT_EQ(trouble->seconds, 100);
}

TEST(RankJudge, ARankThatLeftIsNotMissed) {
  RankJudge judge = full_judge();
  judge.left(1);
  judge.gone(1, 1);
  judge.beat(0, {1, "", ""}, 150);
  judge.beat(2, {1, "", ""}, 150);
  EXPECT_FALSE(judge.judge(200));
}

TEST(RankJudge, AFailureSuspendsEveryOtherJudgement) {
  RankJudge judge = full_judge();
  judge.failing(1, 3, 50);
  judge.gone(1, 50);
  judge.gone(2, 50);
  judge.failing(2, 75, 51);  // the first one counts
  EXPECT_FALSE(judge.judge(59));
  const auto trouble = judge.judge(60);
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->kind, TroubleKind::failed);
  EXPECT_EQ(trouble->exit_code, 3);
}

TEST(RankJudge, AnotherRankJudgesRank0Only) {
  RankJudge judge({"n0", "n1", "n2"}, 1, times, 0);
  judge.joined(0, 0);
  judge.beat(0, {1, "", ""}, 150);
  EXPECT_FALSE(judge.judge(249));  // nothing was heard of rank 2, nor did rank 1 itself move
  judge.gone(0, 250);
  EXPECT_EQ(judge.judge(251)->kind, TroubleKind::lost);
}

TEST(RunningTime, ATimeInWhichThisProcessWasStoppedDoesNotCount) {
  RunningTime time(2, 1000);
  EXPECT_EQ(time.at(1001), 1);
  EXPECT_EQ(time.at(5001), 3);
  EXPECT_EQ(time.at(5002), 4);
}

TEST(WatchMessages, AVerdictArrivesAsItWasSaid) {
  const Trouble said{.kind = TroubleKind::stuck,
                     .judge = 0,
                     .ranks = {1, 2},
                     .seconds = 3.5,
                     .exit_code = 0,
                     .reports = {{1, "n1", {7, "block 3\n\"train\"", "barrier"}, 0.5, 3.5}}};
  std::string line = to_line(Verdict{said});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  line.pop_back();
  const Trouble heard = std::get<Verdict>(parse_line(line)).trouble;
  EXPECT_EQ(heard.kind, said.kind);
  EXPECT_EQ(heard.ranks, said.ranks);
  EXPECT_EQ(heard.seconds, said.seconds);
  EXPECT_EQ(heard.reports.at(0).last.activity, said.reports[0].last.activity);
  EXPECT_EQ(heard.reports.at(0).last.progress, 7u);
  EXPECT_EQ(heard.reports.at(0).still_s, 3.5);
}

TEST(WatchMessages, GarbageIsRefused) {
  for (const char* line : {"", "GET / HTTP/1.1", "[]", "{}", R"({"says":"beat"})",
                           R"({"says":"moo"})", R"({"says":"hello","token":1,"rank":1})",
                           R"({"says":"verdict","kind":"lost","judge":0,"seconds":1,"exit_code":0,
                               "ranks":["x"],"reports":[]})"}) {
    EXPECT_THROW(parse_line(line), FormatError) << line;
  }
}

TEST(WatchMessages, BytesThatAreNoTextAreReplaced) {
  std::string line = to_line(Beat{{1, "\xff", ""}});
  line.pop_back();
  EXPECT_NO_THROW(parse_line(line));
}

}  // namespace
}  // namespace bitmill
