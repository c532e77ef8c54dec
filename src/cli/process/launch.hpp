#pragma once
// Was this process started by an MPI launcher? Decided from the environment alone, so that a
// program without one never initialises MPI.

#include <functional>
#include <optional>
#include <string>

namespace bitmill {

struct Launch {
  bool under_mpi = false;
  int rank = 0;   // as the launcher says; 0 when it does not
  int ranks = 1;  // as the launcher says; 1 when it does not
};

// Looks a variable up: std::getenv, or a test's table.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
Environment process_environment();

// This host's, as people know it.
std::string host_name();

// "rank 2 on n1"; empty for one rank alone, which needs no name.
std::string rank_name(int rank, int ranks);

// Open MPI's mpirun sets OMPI_COMM_WORLD_SIZE; PMIx launchers (srun --mpi=pmix) PMIX_RANK; PMI ones
// (MPICH's mpiexec, srun --mpi=pmi2) PMI_RANK. SLURM_PROCID alone means nothing: a batch script
// has it too. UsageError for a step of srun with several tasks and without MPI: every one of them
// would do the whole work, into the same folder.
Launch read_launch(const Environment& environment);

}  // namespace bitmill
