#include "cli/report/trouble_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Trouble trouble_of(TroubleKind kind, std::vector<int> ranks) {
  return {.kind = kind,
          .judge = 0,
          .ranks = std::move(ranks),
          .seconds = 300,
          .exit_code = 0,
          .reports = {{0, "n0", {9, "block 3, train, epoch 4", "receive from rank 1"}, 0.2, 301},
                      {1, "n1", {7, "block 3, train, epoch 4, after step 17", ""}, 300, 302}}};
}

TEST(TroubleReport, ASilentRankIsNamedWithHostPlaceAndTime) {
  const std::string text = describe_trouble(trouble_of(TroubleKind::silent, {1}), true);
  EXPECT_THAT(text, StartsWith("bitmill: error: rank 1 on n1 has not been heard of for 5 min 00 s "
                               "(--timeout)"));
  EXPECT_THAT(text, HasSubstr("it was last in block 3, train, epoch 4, after step 17\n"));
  EXPECT_THAT(text, HasSubstr("rank 0 on n0: block 3, train, epoch 4 (receive from rank 1)"));
  EXPECT_THAT(text, HasSubstr("run the same command again"));
}

// `eval` keeps nothing.
TEST(TroubleReport, WithoutAWorkFolderNothingIsSaidToBeKept) {
  const std::string text = describe_trouble(trouble_of(TroubleKind::lost, {1}), false);
  EXPECT_THAT(text, Not(HasSubstr("kept")));
  EXPECT_THAT(text, HasSubstr("Run the same command again.\n"));
}

TEST(TroubleReport, ALostRankIsGone) {
  EXPECT_THAT(describe_trouble(trouble_of(TroubleKind::lost, {1}), true),
              HasSubstr("rank 1 on n1 is gone without a word; it was last in block 3"));
  EXPECT_THAT(describe_trouble(trouble_of(TroubleKind::lost, {0, 1}), true),
              HasSubstr("rank 0 on n0 and rank 1 on n1 are gone without a word\n"));
}

TEST(TroubleReport, AStuckRankIsTheOneThatWaitsForNobody) {
  EXPECT_THAT(describe_trouble(trouble_of(TroubleKind::stuck, {1}), true),
              HasSubstr("rank 1 on n1 is not waiting for another"));
  EXPECT_THAT(describe_trouble(trouble_of(TroubleKind::stuck, {0, 1}), true),
              HasSubstr("rank 0 on n0 and rank 1 on n1 hang"));
}

TEST(TroubleReport, ManyRanksAreCutShortForPeopleOnly) {
  Trouble trouble = trouble_of(TroubleKind::silent, {1});
  for (int rank = 2; rank < 100; ++rank) {
    trouble.ranks.push_back(rank);
    trouble.reports.push_back({rank, "n1", {}, 300, 300});
  }
  const std::string text = describe_trouble(trouble, true);
  EXPECT_THAT(text, HasSubstr("and 84 more ranks\n"));
  EXPECT_THAT(text, HasSubstr("and 83 more have not been heard of"));
  EXPECT_THAT(text, Not(HasSubstr("rank 99 ")));
  EXPECT_EQ(nlohmann::json::parse(trouble_json(trouble)).at("ranks").size(), 100u);
}

TEST(TroubleReport, TheJsonHasWhatEveryRankDidLast) {
  const auto json = nlohmann::json::parse(trouble_json(trouble_of(TroubleKind::silent, {1})));
  EXPECT_EQ(json.at("kind"), "silent");
  EXPECT_EQ(json.at("blamed"), std::vector<int>{1});
  EXPECT_EQ(json.at("seconds"), 300);
  EXPECT_EQ(json.at("ranks").at(1).at("host"), "n1");
  EXPECT_EQ(json.at("ranks").at(1).at("activity"), "block 3, train, epoch 4, after step 17");
  EXPECT_EQ(json.at("ranks").at(0).at("call"), "receive from rank 1");
  EXPECT_EQ(json.at("ranks").at(1).at("still_s"), 302);
}

}  // namespace
}  // namespace bitmill
