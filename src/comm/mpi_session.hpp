#pragma once
// Ranks under mpirun or srun.

#include <cstddef>
#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// MPI_Init_thread (funneled) to MPI_Finalize. Make one per process, on the main thread, and only
// when the process was launched by an MPI launcher or asks for it. Collective.
class MpiSession {
 public:
  // CommError when MPI is, or was, already initialised.
  MpiSession();
  // Finalizes, which waits for all ranks. While an exception passes through, the others may never
  // come, so it does nothing then: catch, report, and call abort().
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // MPI counts are int, so longer messages travel in pieces.
  static constexpr size_t default_piece_bytes = size_t{1} << 30;

  // Collective. All ranks of the job, on a communicator of our own with errors returned. Used from
  // the session's thread; lives shorter than the session. Tests pass small pieces.
  std::unique_ptr<Communicator> world(size_t piece_bytes = default_piece_bytes);
  // Ranks of this job on this host, this one included, and this one's place among them.
  int host_ranks() const;
  int host_rank() const;

  // The library and its version, in its own words; a session is not needed.
  static std::string library();

  // Ends every rank of the job with this exit status. Does not return.
  [[noreturn]] static void abort(int exit_code);

 private:
  int host_ranks_ = 1;
  int host_rank_ = 0;
};

}  // namespace bitmill
