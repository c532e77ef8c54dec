#pragma once
// Ranks under mpirun or srun.

#include <cstddef>
#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// From MPI_Init_thread (funneled) to MPI_Finalize. Make one per process, on the main thread, and
// only when an MPI launcher started the process, or the user asks for MPI. Collective.
class MpiSession {
 public:
  // CommError when MPI is, or was, already initialised.
  MpiSession();
  // Calls MPI_Finalize, which waits for all ranks. While an exception is thrown it does nothing,
  // because the other ranks may never come: catch the exception, report it, and call abort().
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // MPI counts are int, so longer messages travel in pieces.
  static constexpr size_t default_piece_bytes = size_t{1} << 30;

  // Collective. A communicator of all ranks of the job, made for us and returning errors. Use it on
  // the session's thread only; the session must outlive it. Tests pass small pieces.
  std::unique_ptr<Communicator> world(size_t piece_bytes = default_piece_bytes);
  // The number of ranks of this job on this host, this one included; and this rank's index among
  // them.
  int host_ranks() const;
  int host_rank() const;

  // The library's name and version, in its own words. Needs no session.
  static std::string library();

  // Ends every rank of the job with this exit status. Does not return.
  [[noreturn]] static void abort(int exit_code);

 private:
  int host_ranks_ = 1;
  int host_rank_ = 0;
};

}  // namespace bitmill
