#include "comm/mpi_session.hpp"

#include <fmt/format.h>
#include <mpi.h>

#include <array>
#include <cstdlib>
#include <exception>

#include "base/error.hpp"
#include "comm/mpi_communicator.hpp"
#include "comm/mpi_handle.hpp"

namespace bitmill {

MpiSession::MpiSession() {
  int initialized = 0;
  int finalized = 0;
  check_mpi(MPI_Initialized(&initialized), "MPI_Initialized");
  check_mpi(MPI_Finalized(&finalized), "MPI_Finalized");
  BITMILL_CHECK(initialized == 0, CommError,
                fmt::format("MPI is already {}; a process has one MpiSession in its life",
                            finalized ? "finalized" : "initialised"));

  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  BITMILL_CHECK(provided >= MPI_THREAD_FUNNELED, CommError,
                fmt::format("this MPI library provides thread level {} where {} "
                            "(MPI_THREAD_FUNNELED) is needed; use one that was built with threads",
                            provided, MPI_THREAD_FUNNELED));

  MPI_Comm raw = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &raw),
            "MPI_Comm_split_type");
  const CommHandle host = returning_errors(raw);
  check_mpi(MPI_Comm_size(host.get(), &host_ranks_), "MPI_Comm_size");
  check_mpi(MPI_Comm_rank(host.get(), &host_rank_), "MPI_Comm_rank");
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() == 0) MPI_Finalize();
}

std::unique_ptr<Communicator> MpiSession::world(size_t piece_bytes) {
  MPI_Comm raw = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &raw), "MPI_Comm_dup");
  return mpi_communicator(returning_errors(raw), piece_bytes);
}

int MpiSession::host_ranks() const { return host_ranks_; }

int MpiSession::host_rank() const { return host_rank_; }

std::string MpiSession::library() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text = {};
  int length = 0;
  check_mpi(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  std::string words(text.data(), static_cast<size_t>(length));
  return words.substr(0, words.find_first_of(",\n"));
}

void MpiSession::abort(int exit_code) {
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::abort();  // MPI_Abort must not return, but did
}

}  // namespace bitmill
