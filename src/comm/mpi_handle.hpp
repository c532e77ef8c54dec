#pragma once
// What the session and its communicators share: errors with the library's words, and the handle of
// a communicator. Internal to comm.

#include <mpi.h>

#include <exception>
#include <string>

#include "base/handle.hpp"

namespace bitmill {

// The library's own words.
std::string mpi_words(int code);

// For calls that no communicator of ours makes: `call` says which and where. CommError.
void check_mpi(int code, const std::string& call);

struct CommTraits {
  using Type = MPI_Comm;
  static MPI_Comm null() { return MPI_COMM_NULL; }
  // Collective, and while an exception passes through, the other ranks may never come: then the
  // handle is left to the abort that follows.
  static void destroy(MPI_Comm comm) noexcept {
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm);
  }
};
using CommHandle = UniqueHandle<CommTraits>;

// Takes `raw` over. Errors of a communicator must come back as codes; the default handler would end
// the job without saying what it was about.
CommHandle returning_errors(MPI_Comm raw);

}  // namespace bitmill
