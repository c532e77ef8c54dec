#pragma once
// Whether this process was started by an MPI launcher. This is decided from the environment alone,
// so that a program without a launcher never initialises MPI.

#include <functional>
#include <optional>
#include <string>

#include "base/host_name.hpp"

namespace bitmill {

struct Launch {
  bool under_mpi = false;
  int rank = 0;               // as the launcher says; 0 when it does not
  int ranks = 1;              // as the launcher says; 1 when it does not
  std::string launcher = {};  // in words for people; empty without one
  bool ranks_known = true;    // false: the launcher does not say how many there are
};

// Looks up a variable: std::getenv, or the table of a test.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
Environment process_environment();

// "rank 2 on n1"; empty when there is only one rank, which needs no name.
std::string rank_name(int rank, int ranks);

// Open MPI's mpirun sets OMPI_COMM_WORLD_SIZE; PMIx launchers (srun --mpi=pmix) set PMIX_RANK; PMI
// launchers (MPICH's mpiexec, srun --mpi=pmi2) set PMI_RANK. SLURM_PROCID alone means nothing: a
// batch script has it too. UsageError for a step of srun with several tasks and without MPI: each
// task would do the whole work, into the same folder.
Launch read_launch(const Environment& environment);

// With several ranks, CUDA is to load all kernels when it begins: a kernel that it loads when it is
// first used waits for the whole GPU, and so for a transfer that waits for the other rank, which
// may be waiting in the same way. Before anything asks CUDA. The environment's own wish wins.
void load_kernels_at_start(const Launch& launch);

// Whether a launcher of another MPI started this process: MPI, in the words of `library`, knows
// only one rank, while the launcher started several, or does not say how many. Each process would
// take itself for the only one and do the whole work. The message has both names and what to do;
// empty where all is well.
std::string foreign_launcher(const Launch& launch, int mpi_ranks, const std::string& library);

}  // namespace bitmill
