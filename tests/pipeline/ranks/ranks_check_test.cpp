#include "pipeline/ranks/ranks_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

RankFacts facts(const std::string& host) {
  return {
      host, "bitmill 1, binary ab", R"({"epochs":20,"windows":"cd"})", "cpu, float32", false, 100,
      1000};
}

TEST(RanksCheck, EqualRanksThatFitHaveNoProblem) {
  const std::vector<RankFacts> all = {facts("n1"), facts("n1"), facts("n2")};
  EXPECT_THAT(differences(all), IsEmpty());
  EXPECT_THAT(memory_problems(all), IsEmpty());
}

TEST(RanksCheck, EveryDifferenceOfEveryRankIsNamedWithBothValues) {
  std::vector<RankFacts> all = {facts("n1"), facts("n2"), facts("n3")};
  all[1].program = "bitmill 2, binary ef";
  all[1].fingerprint_json = R"({"epochs":20,"windows":"gh"})";
  all[2].numerics_class = "cpu, float32, other";
  EXPECT_THAT(
      differences(all),
      ElementsAre(
          AllOf(HasSubstr("rank 1 on n2"), HasSubstr("binary ef"), HasSubstr("binary ab")),
          AllOf(HasSubstr("rank 1 on n2"), HasSubstr("windows is \"gh\" there and \"cd\" here")),
          AllOf(HasSubstr("rank 2 on n3"), HasSubstr("other"))));
}

TEST(RanksCheck, KindsOfMachinesMayDifferWhereThatIsAllowed) {
  std::vector<RankFacts> all = {facts("n1"), facts("n2")};
  all[1].numerics_class = "cpu, float32, other";
  EXPECT_THAT(differences(all), ElementsAre(HasSubstr("--allow-mixed-hardware")));
  all[0].allow_mixed_hardware = true;
  EXPECT_THAT(differences(all), ElementsAre(HasSubstr("--allow-mixed-hardware")));
  all[1].allow_mixed_hardware = true;
  EXPECT_THAT(differences(all), IsEmpty());
}

TEST(RanksCheck, ARankWithoutWorkMayBeOfAnotherKind) {
  std::vector<RankFacts> all = {facts("n1"), facts("n2")};
  all[1].numerics_class = "cpu, float32, other";
  all[1].memory_needed = 0;
  EXPECT_THAT(differences(all), IsEmpty());
}

TEST(RanksCheck, RanksOfAHostMustFitTogetherAndAnUnknownMemoryIsNoProblem) {
  std::vector<RankFacts> all = {facts("n1"), facts("n1"), facts("n2")};
  for (RankFacts& one : all) one.memory_needed = 600;
  all[2].memory_available = 0;
  EXPECT_THAT(memory_problems(all), ElementsAre(AllOf(HasSubstr("n1 has 1000 bytes"),
                                                      HasSubstr("2 ranks need about 1200"))));
}

TEST(RanksCheck, ABlockThatDoesNotFitADeviceIsRefusedWithTheFiguresAndWhatToLower) {
  std::vector<RankFacts> all = {facts("n1"), facts("n2"), facts("n3")};
  EXPECT_THAT(device_problems(all), IsEmpty()) << "they have none";
  all[0].device = {"a GPU", 700, 700, 50, true};
  all[1].device = {"another GPU", 699, 700, 50, true};
  all[2].device = {"a GPU", 0, 700, 50, true};
  all[2].memory_needed = 0;
  EXPECT_THAT(device_problems(all),
              ElementsAre(AllOf(HasSubstr("rank 1 on n2 may use 699 bytes of another GPU"),
                                HasSubstr("need 700 there (50 of it"), HasSubstr("--seq-len"),
                                HasSubstr("--dtype bfloat16"))));
  all[1].device.is_float32 = false;
  EXPECT_THAT(device_problems(all),
              ElementsAre(AllOf(HasSubstr("--seq-len"), Not(HasSubstr("bfloat16")))));
}

// Known only now: how many streams lie on the host, because a GPU has no room for them.
TEST(RanksCheck, ARankThatNeedsMoreThanItsLimitIsRefusedWithBothFigures) {
  std::vector<RankFacts> all = {facts("n1"), facts("n2")};
  all[0].memory_limit = 100;
  all[1].memory_limit = 99;
  EXPECT_THAT(memory_problems(all),
              ElementsAre(AllOf(HasSubstr("rank 1 on n2 may use 99 bytes"), HasSubstr("about 100"),
                                HasSubstr("--memory-limit"), HasSubstr("--stream-memory"))));
}

TEST(RanksCheck, ARefusalForMemoryNamesTheMeshAndWhatElseToTry) {
  std::vector<RankFacts> all = {facts("n1")};
  all[0].memory_needed = 1001;
  EXPECT_THAT(memory_problems(all), ElementsAre(Not(HasSubstr("--walk"))));  // nobody chose a mesh
  all[0].mesh = "1 x 1 (stages x replicas, sweep)";
  EXPECT_THAT(memory_problems(all), ElementsAre(AllOf(HasSubstr("1 x 1 (stages x replicas, sweep)"),
                                                      HasSubstr("--stages"), HasSubstr("--walk"),
                                                      HasSubstr("--stream-memory"))));
}

// They would wait for each other forever.
TEST(RanksCheck, RanksThatChoseOtherMeshesAreNamedWithBoth) {
  std::vector<RankFacts> all = {facts("n1"), facts("n2")};
  all[0].mesh = "1 x 2 (stages x replicas, sweep)";
  all[1].mesh = "2 x 1 (stages x replicas, sweep)";
  EXPECT_THAT(differences(all), ElementsAre(AllOf(HasSubstr("rank 1 on n2"), HasSubstr("1 x 2"),
                                                  HasSubstr("2 x 1"), HasSubstr("--hardware"))));
}

// One entry of CUDA_VISIBLE_DEVICES for each rank: all of them compute on "cuda:0".
TEST(DeviceShare, RanksOnGpusOfOneNameShareNothing) {
  const std::vector<RankDevice> all = {{"n1", "GPU-a", "a GPU (cuda:0)", 1000},
                                       {"n1", "GPU-b", "a GPU (cuda:0)", 800},
                                       {"n2", "GPU-a", "a GPU (cuda:0)", 600}};
  EXPECT_EQ(device_share(all, 0).bytes, 1000);
  EXPECT_EQ(device_share(all, 1).bytes, 800);
  EXPECT_EQ(device_share(all, 2).bytes, 600) << "another host";
  EXPECT_THAT(device_share(all, 0).notes, IsEmpty());
}

TEST(DeviceShare, RanksOnOneGpuGetEqualPartsOfTheLeastThatOneSeesAndAllHearOfIt) {
  const std::vector<RankDevice> all = {{"n1", "GPU-a", "a GPU (cuda:0)", 3001},
                                       {"n1", "GPU-b", "a GPU (cuda:1)", 900},
                                       {"n1", "GPU-a", "a GPU (cuda:1)", 2001}};
  EXPECT_EQ(device_share(all, 0).bytes, 1000);
  EXPECT_EQ(device_share(all, 2).bytes, 1000);
  EXPECT_EQ(device_share(all, 1).bytes, 900);
  for (size_t rank = 0; rank < all.size(); ++rank) {
    EXPECT_THAT(device_share(all, rank).notes,
                ElementsAre(AllOf(HasSubstr("2 ranks of n1 share GPU a GPU"), HasSubstr("GPU-a"),
                                  HasSubstr("1.00 kB of it each"))));
  }
}

TEST(DeviceShare, TheMemoryOfAHostIsNoGpuToShare) {
  const std::vector<RankDevice> all = {{"n1", "", "2 threads", 0}, {"n1", "", "2 threads", 0}};
  EXPECT_EQ(device_share(all, 0).bytes, 0);
  EXPECT_THAT(device_share(all, 0).notes, IsEmpty());
}

TEST(LeastResources, AreTheFewestThreadsAndTheSmallestShareOfAHost) {
  const LeastResources least =
      least_resources({{"n1", 4, 1000}, {"n1", 4, 1100}, {"n2", 8, 700}, {"n3", 2, 0}});
  EXPECT_EQ(least.threads, 2);
  EXPECT_EQ(least.memory, 500);  // of n1 for two ranks; n3 does not say
  EXPECT_EQ(least_resources({{"n1", 1, 0}}).memory, 0);
}

TEST(LeastResources, AreTheSameOnEveryRank) {
  std::vector<LeastResources> found(3);
  run_ranks(3, [&](Communicator& comm) {
    found[static_cast<size_t>(comm.rank())] =
        gather_least_resources(comm, comm.rank() == 2 ? "n2" : "n1", 4 - comm.rank());
  });
  for (const LeastResources& one : found) {
    EXPECT_EQ(one.threads, 2);
    EXPECT_EQ(one.memory, found[0].memory);
  }
}

}  // namespace
}  // namespace bitmill
