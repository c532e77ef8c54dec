// How a process finds its place: launcher, affinity, and what it says when things go wrong.

#include "cli/process/launch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/error.hpp"
#include "cli/process/affinity.hpp"
#include "cli/process/failure.hpp"
#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;

Launch launch_in(const std::map<std::string, std::string>& variables) {
  return read_launch([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

TEST(Launch, WithoutALauncherThereIsNoMpi) {
  EXPECT_FALSE(launch_in({}).under_mpi);
  EXPECT_FALSE(launch_in({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "4"}}).under_mpi);
}

TEST(Launch, OpenMpiAndPmiLaunchersAreRecognised) {
  const Launch open_mpi = launch_in({{"OMPI_COMM_WORLD_SIZE", "3"}, {"OMPI_COMM_WORLD_RANK", "2"}});
  EXPECT_TRUE(open_mpi.under_mpi);
  EXPECT_EQ(open_mpi.rank, 2);
  EXPECT_EQ(open_mpi.ranks, 3);
  const Launch pmi = launch_in({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}});
  EXPECT_TRUE(pmi.under_mpi);
  EXPECT_EQ(pmi.rank, 1);
  const Launch srun = launch_in({{"PMIX_RANK", "1"},
                                 {"SLURM_PROCID", "1"},
                                 {"SLURM_STEP_ID", "0"},
                                 {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_TRUE(srun.under_mpi);
  EXPECT_EQ(srun.ranks, 2);
}

TEST(Launch, ABatchScriptIsNotAStepOfSrun) {
  // sbatch sets SLURM_PROCID for its script, and some versions a special step number.
  EXPECT_FALSE(launch_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}).under_mpi);
  EXPECT_FALSE(
      launch_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}, {"SLURM_STEP_ID", "4294967291"}})
          .under_mpi);
}

TEST(Launch, SeveralTasksOfSrunWithoutMpiAreRefused) {
  EXPECT_THROW(
      launch_in({{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}}),
      UsageError);
  EXPECT_FALSE(
      launch_in({{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}})
          .under_mpi);
}

// As mpiexec.hydra of MPICH 5.0.2 and prterun of Open MPI 5.0.11 start a process.
const std::map<std::string, std::string> by_hydra = {
    {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"HYDI_CONTROL_FD", "7"}, {"MPI_LOCALNRANKS", "2"}};
const std::map<std::string, std::string> by_prterun = {
    {"PMIX_RANK", "0"}, {"PRTE_LAUNCHED", "1"}, {"PMIX_VERSION", "5.0.11rc1"}};

TEST(Launch, ALauncherOfAnotherMpiIsNamedWithWhatToDo) {
  EXPECT_THAT(
      foreign_launcher(launch_in(by_hydra), 1, "Open MPI v4.1.4"),
      AllOf(HasSubstr("Hydra (mpirun or mpiexec of MPICH or Intel MPI) started this process "
                      "as rank 1 of 2, but Open MPI v4.1.4"),
            HasSubstr("knows only this one"), HasSubstr("use the mpirun of that library")));
  EXPECT_THAT(foreign_launcher(launch_in(by_prterun), 1, "Open MPI v4.1.4"),
              AllOf(HasSubstr("PRRTE"), HasSubstr("rank 0 of a number that it does not tell"),
                    HasSubstr("for one rank, start bitmill without a launcher")));
  auto open_mpi_5 = by_prterun;
  open_mpi_5["OMPI_COMM_WORLD_SIZE"] = "3";
  EXPECT_THAT(foreign_launcher(launch_in(open_mpi_5), 1, "Open MPI v4.1.4"),
              AllOf(HasSubstr("mpirun of Open MPI 5"), HasSubstr("rank 0 of 3")));
  const Launch srun = launch_in({{"PMI_RANK", "0"},
                                 {"PMI_SIZE", "2"},
                                 {"SLURM_PROCID", "0"},
                                 {"SLURM_STEP_ID", "0"},
                                 {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_THAT(foreign_launcher(srun, 1, "Open MPI v4.1.4"), HasSubstr("use srun --mpi=pmix"));
  EXPECT_NE(foreign_launcher(
                launch_in({{"MV2_COMM_WORLD_RANK", "1"}, {"MV2_COMM_WORLD_SIZE", "2"}}), 1, "x"),
            "");
}

TEST(Launch, WhatFitsTogetherIsNotForeign) {
  EXPECT_EQ(foreign_launcher({}, 1, "x"), "") << "no launcher";
  EXPECT_EQ(foreign_launcher(launch_in(by_hydra), 2, "MPICH"), "") << "bitmill built with MPICH";
  EXPECT_EQ(foreign_launcher(launch_in(by_prterun), 2, "Open MPI v5.0.11"), "");
  EXPECT_EQ(foreign_launcher(
                launch_in({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}), 1, "x"),
            "")
      << "mpirun -n 1";
  EXPECT_EQ(foreign_launcher(launch_in({{"PMIX_RANK", "0"},
                                        {"SLURM_PROCID", "0"},
                                        {"SLURM_STEP_ID", "0"},
                                        {"SLURM_STEP_NUM_TASKS", "1"}}),
                             1, "x"),
            "")
      << "srun -n 1";
}

TEST(Affinity, ThisProcessMayRunSomewhere) {
  const CpuMask mask = read_affinity();
  ASSERT_FALSE(mask.empty());
  EXPECT_NE(mask.back(), 0u);
  EXPECT_GE(default_threads({{"here", mask}}, 0), 1);
}

TEST(Affinity, ProcessorsAreDividedAmongTheRanksOfAHostThatShareThem) {
  const CpuMask eight = {0xff};
  EXPECT_EQ(default_threads({{"a", eight}}, 0), 8);
  EXPECT_EQ(default_threads({{"a", eight}, {"a", eight}}, 1), 4);
  EXPECT_EQ(default_threads({{"a", eight}, {"b", eight}}, 1), 8);
  EXPECT_EQ(default_threads({{"a", eight}, {"a", eight}, {"a", eight}}, 0), 2);
}

TEST(Affinity, BoundRanksKeepTheirOwnProcessors) {
  EXPECT_EQ(default_threads({{"a", {0x0f}}, {"a", {0xf0}}}, 0), 4);
  EXPECT_EQ(default_threads({{"a", {0, 0x3}}, {"a", {0x3}}}, 0), 2);
}

TEST(Affinity, MoreRanksThanProcessorsGetAThreadEach) {
  EXPECT_EQ(default_threads({{"a", {1}}, {"a", {1}}, {"a", {1}}}, 2), 1);
}

TEST(Affinity, PlacesOfAllRanksAreKnownToAll) {
  run_ranks(3, [](Communicator& comm) {
    const RankPlace mine{comm.rank() == 2 ? "other" : "here", {uint64_t{1} << comm.rank()}};
    const auto places = gather_places(comm, mine);
    ASSERT_EQ(places.size(), 3u);
    EXPECT_EQ(places[1].cpus, CpuMask{2});
    EXPECT_EQ(places[2].host, "other");
  });
}

TEST(Failures, EveryKindHasItsExitCode) {
  const auto failure = [](const auto& error) {
    return describe_failure(std::make_exception_ptr(error));
  };
  EXPECT_EQ(failure(UsageError("x")).exit_code, 2);
  EXPECT_EQ(failure(FormatError("x")).exit_code, 1);
  EXPECT_EQ(failure(DeviceError("x")).exit_code, 1);
  EXPECT_EQ(failure(DeviceLostError("x")).exit_code, 75);
  EXPECT_TRUE(failure(DeviceLostError("x")).alone);  // nobody waits for a barrier with it
  EXPECT_EQ(failure(PeerLostError("x")).exit_code, 75);
  EXPECT_TRUE(failure(PeerLostError("x")).alone);
  EXPECT_TRUE(failure(PeerLostError("x")).from_peer);
  EXPECT_FALSE(failure(StopError("x")).alone);
  EXPECT_EQ(failure(std::bad_alloc()).exit_code, 1);
  EXPECT_THAT(failure(std::bad_alloc()).message, HasSubstr("out of memory"));
  EXPECT_EQ(failure(std::runtime_error("deep")).exit_code, 1);
  EXPECT_THAT(failure(std::runtime_error("deep")).message, HasSubstr("deep"));
  EXPECT_TRUE(failure(CommError("x")).from_peer);
  EXPECT_FALSE(failure(FileError("x")).from_peer);
}

TEST(Failures, NobodyFailingIsSuccessForAll) {
  run_ranks(3, [](Communicator& comm) {
    EXPECT_FALSE(agree_on_failure(comm, std::nullopt, "host").has_value());
  });
}

TEST(Failures, AllFailingAlikeNameNoRank) {
  run_ranks(3, [](Communicator& comm) {
    const auto failure = agree_on_failure(comm, Failure{2, "bad option", false}, "host");
    ASSERT_TRUE(failure.has_value());
    EXPECT_EQ(failure->message, "bitmill: error: bad option");
    EXPECT_EQ(failure->exit_code, 2);
  });
}

TEST(Failures, OneRankFailingIsNamedWithItsHostOnAllRanks) {
  run_ranks(3, [](Communicator& comm) {
    std::optional<Failure> mine;
    if (comm.rank() == 1) mine = Failure{1, "no such file", false};
    const auto failure = agree_on_failure(comm, mine, "node" + std::to_string(comm.rank()));
    ASSERT_TRUE(failure.has_value());
    EXPECT_EQ(failure->message, "bitmill: error: rank 1 on node1: no such file");
    EXPECT_EQ(failure->exit_code, 1);
  });
}

TEST(Failures, EveryDifferentFailureIsToldOnceWithItsFirstRank) {
  run_ranks(5, [](Communicator& comm) {
    std::optional<Failure> mine;
    if (comm.rank() == 1 || comm.rank() == 4) mine = Failure{2, "disk full", false};
    if (comm.rank() == 3) mine = Failure{1, "no such file", false};
    const auto failure = agree_on_failure(comm, mine, "node" + std::to_string(comm.rank()));
    ASSERT_TRUE(failure.has_value());
    EXPECT_EQ(failure->message,
              "bitmill: error: rank 1 on node1 and 1 more: disk full\n"
              "bitmill: error: rank 3 on node3: no such file");
    EXPECT_EQ(failure->exit_code, 2);
  });
}

TEST(Failures, OfManyFailuresSomeAreToldAndTheRestCounted) {
  run_ranks(11, [](Communicator& comm) {
    const Failure mine{1, "file " + std::to_string(comm.rank()), false};
    const auto failure = agree_on_failure(comm, mine, "n");
    EXPECT_THAT(failure->message, AllOf(HasSubstr("rank 7 on n: file 7\n"),
                                        HasSubstr("3 more failures of other ranks")));
  });
}

TEST(Failures, TheCauseSpeaksBeforeItsConsequencesAndLowerRanksFirst) {
  const Failure cause{1, "disk full", false};
  const Failure consequence{1, "receive failed", true};
  EXPECT_EQ(seconds_before_report(cause, 0), 0);
  EXPECT_LT(seconds_before_report(cause, 1), seconds_before_report(cause, 2));
  EXPECT_LT(seconds_before_report(cause, 1000), seconds_before_report(consequence, 0));
}

TEST(Launch, SeveralRanksLoadTheirKernelsAtTheStartUnlessTheEnvironmentSaysOtherwise) {
  constexpr const char* name = "CUDA_MODULE_LOADING";
  ::unsetenv(name);
  load_kernels_at_start({});
  EXPECT_EQ(std::getenv(name), nullptr);
  load_kernels_at_start({.under_mpi = true, .ranks = 2});
  EXPECT_STREQ(std::getenv(name), "EAGER");
  ::setenv(name, "LAZY", 1);
  load_kernels_at_start({.under_mpi = true, .ranks_known = false});
  EXPECT_STREQ(std::getenv(name), "LAZY");
  ::unsetenv(name);
}

}  // namespace
}  // namespace bitmill
