// What `quantize` says of its mesh: what it is, which ranks idle and why, and what helps.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/report/quantize_report.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class MeshLine : public ::testing::Test {
 protected:
  MeshLine() {
    forecast_.blocks = 4;
    forecast_.turns = 1;
    forecast_.samples = 8;
    facts_.makespan_s = 2520;
  }
  std::string line(int ranks, Mesh mesh) {
    facts_.ranks = ranks;
    forecast_.mesh = mesh;
    return mesh_line(options_, forecast_, facts_);
  }

  QuantizeOptions options_;
  QuantizeForecast forecast_;
  MeshFacts facts_;
};

TEST_F(MeshLine, IsShortWhereEveryRankHasWork) {
  EXPECT_EQ(line(1, {1, 1}), "mesh: 1 stage of 1 replica, sweep; forecast 42 min 00 s");
}

TEST_F(MeshLine, SaysWhichRanksIdleAndWhatBinds) {
  EXPECT_THAT(line(4, {1, 1}),
              AllOf(HasSubstr("3 of 4 ranks will idle (1 to 3)"), HasSubstr("its batch (1)"),
                    HasSubstr("a block has turns (1)"), Not(HasSubstr("\n"))));
  EXPECT_THAT(line(2, {1, 1}), HasSubstr("1 of 2 ranks will idle (1)"));
  forecast_.turns = 5;
  EXPECT_THAT(line(5, {4, 1}), AllOf(HasSubstr("there are blocks (4)"), Not(HasSubstr("turns"))));
  facts_.given_stages = 2;
  EXPECT_THAT(line(4, {2, 1}), AllOf(HasSubstr("--stages 2"), Not(HasSubstr("turns")),
                                     Not(HasSubstr("there are blocks"))));
}

TEST_F(MeshLine, SaysWhereRanksAreTooFewForMore) {
  options_.batch = 8;
  forecast_.turns = 4;
  EXPECT_THAT(line(5, {2, 2}), AllOf(HasSubstr("too few for another stage or replica"),
                                     Not(HasSubstr("--batch")), Not(HasSubstr("result"))));
  EXPECT_THAT(line(8, {2, 2}), HasSubstr("more replicas would not be sooner"));
}

TEST_F(MeshLine, NeverAdvisesABatchThatTheSamplesDoNotFill) {
  EXPECT_THAT(line(4, {1, 1}), HasSubstr("--batch 4 would give 4 ranks work; that changes the"));
  EXPECT_THAT(line(64, {1, 1}), HasSubstr("--batch 8 would give 8 ranks work"));
  forecast_.samples = 1;
  EXPECT_THAT(line(4, {1, 1}), Not(HasSubstr("--batch")));
}

TEST_F(MeshLine, TheOtherRecipeIsNamedWithWhatItSaves) {
  EXPECT_THAT(line(4, {1, 1}), Not(HasSubstr("recipe")));
  facts_.sooner = OtherRecipe{"parallel", 1800, 4};
  EXPECT_THAT(line(4, {1, 1}), HasSubstr("recipe parallel would take about 12 min 00 s less: "
                                         "30 min 00 s on 4 of 4 ranks; both change the result"));
}

}  // namespace
}  // namespace bitmill
