#pragma once
// Ranks under mpirun or srun. The only user of <mpi.h>.

#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// MPI_Init_thread (funneled) to MPI_Finalize. Make one, on the main thread, and only when
// the process was launched by an MPI launcher or asks for it.
class MpiSession {
 public:
  MpiSession();
  // Finalizes; after an error call abort() instead.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // All ranks of the job, on a communicator of our own with errors returned. Lives shorter than
  // the session.
  std::unique_ptr<Communicator> world();
  // Ranks of this job on this host, this one included, and this one's place among them.
  int host_ranks() const;
  int host_rank() const;

  // Ends every rank of the job with this exit status. Does not return.
  [[noreturn]] static void abort(int exit_code);

 private:
  int host_ranks_ = 1;
  int host_rank_ = 0;
};

}  // namespace bitmill
