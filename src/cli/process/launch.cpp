#include "cli/process/launch.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <initializer_list>

#include "base/error.hpp"

namespace bitmill {
namespace {

// Steps that are not started by srun (batch, extern, interactive) have numbers from this one on:
// SLURM_MAX_NORMAL_STEP_ID in Slurm's slurm.h.
constexpr int64_t first_special_step = 0xfffffff0;

// The value of the first of these variables that is set to a number.
std::optional<int64_t> first_number(const Environment& environment,
                                    std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const std::optional<std::string> text = environment(name);
    if (!text) continue;
    int64_t number = 0;
    const auto [rest, code] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (code == std::errc()) return number;
  }
  return std::nullopt;
}

// The MPI launchers that can be told apart, by a variable that only they set.
std::string launcher_in(const Environment& environment, bool in_srun_step) {
  struct Sign {
    const char* variable;
    const char* launcher;
  };
  constexpr std::array<Sign, 4> signs = {
      {{"PRTE_LAUNCHED", "PRRTE (prterun, or the mpirun of Open MPI 5 and later)"},
       {"OMPI_COMM_WORLD_SIZE", "the mpirun of Open MPI"},
       {"MV2_COMM_WORLD_SIZE", "the mpirun of MVAPICH"},
       {"HYDI_CONTROL_FD", "Hydra (mpirun or mpiexec of MPICH or Intel MPI)"}}};
  for (const Sign& sign : signs) {
    if (environment(sign.variable)) return sign.launcher;
  }
  if (in_srun_step) return "srun";
  return environment("PMIX_RANK") ? "a PMIx launcher" : "a PMI launcher, as MPICH's mpiexec,";
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

std::string rank_name(int rank, int ranks) {
  return ranks > 1 ? fmt::format("rank {} on {}", rank, host_name()) : "";
}

Launch read_launch(const Environment& environment) {
  const auto number = [&](std::initializer_list<const char*> names) {
    return first_number(environment, names);
  };
  const auto mpi_rank =
      number({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK"});
  const bool in_srun_step =
      number({"SLURM_PROCID"}) &&
      number({"SLURM_STEP_ID", "SLURM_STEPID"}).value_or(first_special_step) < first_special_step;
  const int64_t tasks =
      in_srun_step ? number({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}).value_or(1) : 1;
  if (mpi_rank || environment("OMPI_COMM_WORLD_SIZE")) {
    const auto ranks = number({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"});
    return {true, static_cast<int>(mpi_rank.value_or(0)), static_cast<int>(ranks.value_or(tasks)),
            launcher_in(environment, in_srun_step), ranks.has_value() || in_srun_step};
  }
  BITMILL_CHECK(tasks <= 1, UsageError,
                fmt::format("srun started {} tasks without MPI between them, and each would do the "
                            "whole work; use srun --mpi=pmix (srun --mpi=list shows what there is) "
                            "or mpirun",
                            tasks));
  return {};
}

void load_kernels_at_start(const Launch& launch) {
  if (launch.ranks > 1 || !launch.ranks_known) ::setenv("CUDA_MODULE_LOADING", "EAGER", 0);
}

std::string foreign_launcher(const Launch& launch, int mpi_ranks, const std::string& library) {
  const bool alone = launch.ranks_known && launch.ranks == 1 && launch.rank == 0;
  if (!launch.under_mpi || mpi_ranks > 1 || alone) return "";
  const std::string number =
      launch.ranks_known ? std::to_string(launch.ranks) : "a number that it does not tell";
  const std::string way_out =
      launch.launcher == "srun"
          ? "use srun --mpi=pmix (srun --mpi=list shows what there is), or mpirun"
          : "use the mpirun of that library (put its folder first in PATH; launch/bitmill-mpirun "
            "takes it from there), or build bitmill with the MPI whose launcher you use";
  const std::string alone_words =
      launch.ranks_known ? "" : "; for one rank, start bitmill without a launcher";
  return fmt::format(
      "{} started this process as rank {} of {}, but {}, with which bitmill was built, knows only "
      "this one: every process would do the whole work; {}{}",
      launch.launcher, launch.rank, number, library, way_out, alone_words);
}

}  // namespace bitmill
