#pragma once
// What the session and its communicators both use: errors with the library's words, and the handle
// of a communicator. Internal to comm.

#include <mpi.h>

#include <exception>
#include <string>

#include "base/handle.hpp"

namespace bitmill {

// The library's own words.
std::string mpi_words(int code);

// CommError when `code` is an error. For MPI calls that are not made by a Communicator: `call` says
// which call it is, and where.
void check_mpi(int code, const std::string& call);

struct CommTraits {
  using Type = MPI_Comm;
  static MPI_Comm null() { return MPI_COMM_NULL; }
  // MPI_Comm_free is collective. While an exception is thrown, the other ranks may never call it,
  // so the handle is not freed then: an abort follows.
  static void destroy(MPI_Comm comm) noexcept {
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm);
  }
};
using CommHandle = UniqueHandle<CommTraits>;

// Owns `raw`, and makes it return errors as codes. MPI's default handler would end the job without
// saying what went wrong.
CommHandle returning_errors(MPI_Comm raw);

}  // namespace bitmill
