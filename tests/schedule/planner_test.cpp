#include "schedule/planner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "schedule/simulate.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Training is all that takes time; a sample's stream is as large as the rest of a rank.
PlanRequest request(int ranks) {
  PlanRequest one;
  one.work.blocks = 32;
  one.work.epochs = 20;
  one.work.lag = 5;
  one.work.batch = 8;
  one.work.samples = 128;
  one.work.seq_len = 100;
  one.work.hidden = 100;
  one.work.unit_flops = 1;
  one.work.learned = 64;
  one.machine.link_bytes_per_s = one.machine.memory_bytes_per_s = 1e12;
  one.machine.read_bytes_per_s = one.machine.write_bytes_per_s = 1e12;
  one.machine.fixed_bytes = 1000;
  one.ranks = ranks;
  return one;
}

TEST(Planner, UsesReplicasUpToTheBatchAndStagesUpToTheTurns) {
  EXPECT_EQ(choose_plan(request(1)).mesh, (Mesh{1, 1}));
  EXPECT_EQ(choose_plan(request(8)).mesh, (Mesh{1, 8}));  // no fill and drain
  EXPECT_EQ(choose_plan(request(32)).mesh, (Mesh{4, 8}));
  EXPECT_EQ(choose_plan(request(4096)).mesh, (Mesh{4, 8}));
}

// Sums of 4 replicas stay in a node of 4 ranks; those of 8 do not, and their link is slow.
TEST(Planner, ReplicasAreNotSpreadOverNodesWhereTheLinkBinds) {
  PlanRequest one = request(8);
  EXPECT_EQ(choose_plan(one).mesh, (Mesh{1, 8}));
  one.node = {4, 1e12};
  one.machine.link_bytes_per_s = 1;
  one.work.stream_bytes = 0;  // none to send
  const Forecast best = choose_plan(one);
  EXPECT_EQ(best.mesh, (Mesh{2, 4}));
  EXPECT_FALSE(links_used(one, best).sums.binds());
  const LinkUse spread = links_used(one, forecast(one, {1, 8}, Walk::sweep)).sums;
  EXPECT_EQ(spread.rate, 1);
  EXPECT_TRUE(spread.binds());
}

TEST(Planner, LinksAreThoseOfTheNodeWhereAllThatUseThemLieInIt) {
  Machine machine;
  machine.link_bytes_per_s = 2;
  const NodeLinks node{4, 7};
  const auto rates = [&](int stages, int replicas) {
    const LinkRates both = link_rates(machine, node, {stages, replicas});
    return std::pair(both.streams, both.sums);
  };
  EXPECT_EQ(rates(2, 2), std::pair(7.0, 7.0));
  EXPECT_EQ(rates(4, 2), std::pair(2.0, 7.0));
  EXPECT_EQ(rates(1, 3), std::pair(7.0, 7.0));
  EXPECT_EQ(rates(2, 3), std::pair(2.0, 2.0)) << "a stage lies on two nodes";
  EXPECT_EQ(rates(1, 8), std::pair(2.0, 2.0));
  EXPECT_EQ(link_rates(machine, {}, {1, 2}).sums, 2) << "nothing is known of nodes";
}

// In each of 2 turns of 5 epochs, 16 steps send a rank's half of one partial sum and of the values,
// for 32 blocks: 128 bytes. What it computes is a sample a second.
TEST(Planner, BytesForASecondOfComputingByHand) {
  PlanRequest one = request(2);
  one.work.epochs = 10;
  one.machine.memory_bytes_per_s = 1e300;
  const Forecast two = forecast(one, {1, 2}, Walk::sweep);
  const LinksUsed used = links_used(one, two);
  EXPECT_EQ(two.ranks[0].exchanged_bytes, 2 * 5 * 16 * 32 * 2 * 4 * 32);
  EXPECT_NEAR(used.sums.bytes_per_s, 16 * 2 * 4 * 32 / 64.0, 1e-3);
  EXPECT_EQ(used.streams.bytes_per_s, 0) << "one stage sends nothing";
}

TEST(Planner, SequentialRecipeHasWorkForOneRank) {
  PlanRequest published = request(64);
  published.work.batch = 1;
  published.work.lag = 20;
  const Forecast best = choose_plan(published);
  EXPECT_EQ(best.mesh, (Mesh{1, 1}));
  ASSERT_EQ(best.ranks.size(), 64U);
  EXPECT_EQ(best.ranks[1].busy_s, 0);
  EXPECT_NEAR(best.idle_fraction(), 63.0 / 64, 1e-9);
}

TEST(Planner, TheForecastOfTheChosenMeshIsTheSoonest) {
  for (const int ranks : {2, 3, 5, 12, 24}) {
    PlanRequest one = request(ranks);
    one.memory_limit = int64_t{1} << 50;  // all of them fit
    const Forecast best = choose_plan(one);
    for (int stages = 1; stages <= 4 && stages <= ranks; ++stages) {
      for (int replicas = 1; replicas <= std::min(8, ranks / stages); ++replicas) {
        const Mesh mesh{stages, replicas};
        EXPECT_LE(best.makespan_s(), forecast(one, mesh, Walk::sweep).makespan_s());
        EXPECT_LE(best.makespan_s(), forecast(one, mesh, Walk::wavefront).makespan_s());
      }
    }
  }
}

// Of a batch of eight one of five to seven replicas has two, as each of four has, whose sums meet
// in one exchange.
TEST(Planner, FewerReplicasThatShareEvenlyAreSooner) {
  for (const int ranks : {5, 6, 7}) {
    PlanRequest one = request(ranks);
    one.work.lag = 20;  // one turn: no stages
    one.work.learned = 1 << 20;
    one.machine.link_bytes_per_s = 1e9;
    EXPECT_EQ(choose_plan(one).mesh, (Mesh{1, 4})) << ranks << " ranks";
    one.stages = 1;
    EXPECT_EQ(choose_plan(one).mesh, (Mesh{1, 4})) << ranks << " ranks, stages given";
  }
}

TEST(Planner, StatesAreSavedBesideTrainingWhereTheCopyFits) {
  PlanRequest one = request(1);
  one.work.state_bytes = 1'000'000;
  one.work.save_beside = true;
  one.machine.write_bytes_per_s = 1e5;
  const Forecast free = choose_plan(one);
  EXPECT_TRUE(free.save_beside);
  one.memory_limit = free.peak_bytes();
  EXPECT_TRUE(choose_plan(one).save_beside);
  one.memory_limit = free.peak_bytes() - 1;
  const Forecast tight = choose_plan(one);
  EXPECT_FALSE(tight.save_beside);
  EXPECT_EQ(tight.peak_bytes(), free.peak_bytes() - one.work.state_bytes);
  EXPECT_GT(tight.makespan_s(), free.makespan_s());
  one.memory_limit = 0;
  one.work.save_beside = false;  // whoever asks knows that there is no memory
  EXPECT_FALSE(choose_plan(one).save_beside);
}

TEST(Planner, WithoutALimitOfMemoryOnlySweepsAreChosen) {
  for (const int ranks : {1, 2, 5, 24}) {
    EXPECT_EQ(choose_plan(request(ranks)).walk, Walk::sweep) << ranks << " ranks";
  }
}

// A wavefront on one rank spares outputs of the teacher.
TEST(Planner, WhereTheHostHasNoLimitAWavefrontIsTakenOnlyWithAllItsStreamsOnTheDevice) {
  PlanRequest one = request(1);
  one.work.forward_flops = 1;
  one.machine.host_fixed_bytes = 1000;
  one.machine.memory_bytes = int64_t{1} << 50;
  const Forecast free = choose_plan(one);
  ASSERT_EQ(free.walk, Walk::wavefront);
  ASSERT_EQ(free.ranks[0].device_stream_bytes, free.simulation.peak_stream_bytes());
  one.machine.memory_bytes = free.peak_bytes();
  EXPECT_EQ(choose_plan(one).walk, Walk::wavefront);
  --one.machine.memory_bytes;
  EXPECT_EQ(choose_plan(one).walk, Walk::sweep);
  one.memory_limit = int64_t{1} << 50;
  EXPECT_EQ(choose_plan(one).walk, Walk::wavefront) << "the host has room";
  one.memory_limit = 0;
  one.walk = Walk::wavefront;
  EXPECT_EQ(choose_plan(one).walk, Walk::wavefront) << "asked for";
}

TEST(Planner, ADeviceThatIsTooSmallIsToldWithWhatCanBeDone) {
  PlanRequest one = request(1);
  one.machine.host_fixed_bytes = 1000;
  one.work.device.unit_bytes = 500;
  one.machine.memory_bytes = 1001;
  const auto words = [&] {
    try {
      choose_plan(one);
      return std::string("it fits");
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(words(), AllOf(HasSubstr("take a table of a larger GPU"), HasSubstr("bfloat16"),
                             Not(HasSubstr("--device-memory-limit"))));
  one.device_limit_given = true;
  one.machine.weight_bytes = 2;
  EXPECT_THAT(words(), AllOf(HasSubstr("raise --device-memory-limit"), HasSubstr("--seq-len"),
                             Not(HasSubstr("table")), Not(HasSubstr("bfloat16"))));
}

TEST(StreamsOfAStage, GrowWithTheTurnsThatWalkTogetherAndNotWithTheDepth) {
  PlanCosts costs;
  costs.stream_bytes = 1;
  const auto streams = [&](int blocks, Walk walk) {
    return simulate_training(make_plan(blocks, 20, 5, 1, walk), costs).peak_stream_bytes();
  };
  for (const int blocks : {4, 30}) {
    EXPECT_EQ(streams(blocks, Walk::sweep), 3) << blocks;
    EXPECT_EQ(streams(blocks, Walk::wavefront), 8) << blocks;
  }
}

TEST(Planner, StartAndEndOfARunAreTheSameForAllMeshes) {
  PlanRequest one = request(4);
  one.work.kept_bytes = 4'000;
  one.work.packed_bytes = 100;
  one.machine.start_s = 7;
  one.machine.read_bytes_per_s = one.machine.write_bytes_per_s = 1000;
  const Forecast best = choose_plan(one);
  EXPECT_DOUBLE_EQ(best.ends.before_s, 7 + 1);     // 4 kB, hashed by four ranks
  EXPECT_DOUBLE_EQ(best.ends.after_s, 7.2 + 7.2);  // with 32 blocks: written, read back
  EXPECT_DOUBLE_EQ(best.makespan_s(), 8 + best.simulation.makespan_s + 14.4);
}

TEST(Planner, MemoryThatNothingSatisfiesNamesTheSmallestThatWould) {
  PlanRequest small = request(4);
  small.memory_limit = 1001;
  std::string words;
  try {
    choose_plan(small);
    FAIL() << "it fits";
  } catch (const UsageError& error) {
    words = error.what();
  }
  const size_t at = words.find("--memory-limit ");
  ASSERT_NE(at, std::string::npos) << words;
  const int64_t least = std::stoll(words.substr(at + 15));
  small.memory_limit = least;
  EXPECT_EQ(choose_plan(small).peak_bytes(), least);
  small.memory_limit = least - 1;
  EXPECT_THROW(choose_plan(small), UsageError);
}

TEST(Planner, StreamMemoryMakesRoomAndTheSmallestMemoryKnowsIt) {
  PlanRequest one = request(1);
  one.walk = Walk::sweep;
  const int64_t whole = choose_plan(one).peak_bytes();
  one.memory_limit = whole - 1;
  EXPECT_THROW(choose_plan(one), UsageError);
  one.work.stream_memory = 500;
  const Forecast less = choose_plan(one);
  EXPECT_EQ(less.peak_bytes(), whole - less.simulation.peak_stream_bytes() + 500);
  EXPECT_EQ(less.ranks[0].scratch_bytes, less.simulation.peak_stream_bytes() - 500);
  one.memory_limit = less.peak_bytes() - 1;
  try {
    choose_plan(one);
    FAIL() << "it fits";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(less.peak_bytes())));
  }
}

TEST(Planner, RankZeroHoldsTheHeadersOfTheResult) {
  PlanRequest one = request(8);
  const Forecast without = forecast(one, {2, 4}, Walk::sweep);
  one.work.header_bytes = 9;
  const Forecast with = forecast(one, {2, 4}, Walk::sweep);
  EXPECT_EQ(with.ranks[0].peak_bytes, without.ranks[0].peak_bytes + 9);
  EXPECT_EQ(with.ranks[1].peak_bytes, without.ranks[1].peak_bytes);
  EXPECT_EQ(with.ranks[4].peak_bytes, without.ranks[4].peak_bytes);
  EXPECT_EQ(with.ranks[4].host_bytes, with.ranks[4].peak_bytes) << "device and host are one";
  EXPECT_EQ(with.simulation.stages[0].peak_bytes, without.simulation.stages[0].peak_bytes + 9);
  EXPECT_EQ(with.simulation.stages[1].peak_bytes, without.simulation.stages[1].peak_bytes);
}

TEST(Planner, StagesThatDoNotDivideTheRanksAreRefused) {
  PlanRequest one = request(4);
  one.stages = 3;
  try {
    choose_plan(one);
    FAIL() << "three stages on four ranks";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--stages 3 does not divide 4 ranks"));
  }
}

TEST(Planner, ReplicasOfUnevenSharesAreTheBusiestLast) {
  const PlanRequest one = request(3);
  const Forecast uneven = forecast(one, {1, 3}, Walk::sweep);
  EXPECT_LE(uneven.ranks[0].busy_s, uneven.ranks[2].busy_s);
  EXPECT_LE(uneven.ranks[0].peak_bytes, uneven.ranks[2].peak_bytes);
}

TEST(Planner, ManyRanksTakeNoLonger) {
  PlanRequest big = request(4096);
  big.work.blocks = 126;
  big.work.lag = 1;
  big.work.batch = 64;
  EXPECT_EQ(choose_plan(big).ranks.size(), 4096U);  // the test's time limit is the point
}

}  // namespace
}  // namespace bitmill
