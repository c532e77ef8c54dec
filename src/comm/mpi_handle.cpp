#include "comm/mpi_handle.hpp"

#include <fmt/format.h>

#include <array>

#include "base/error.hpp"

namespace bitmill {

std::string mpi_words(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text = {};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) {
    return fmt::format("MPI error {}", code);
  }
  return std::string(text.data(), static_cast<size_t>(length));
}

void check_mpi(int code, const std::string& call) {
  BITMILL_CHECK(code == MPI_SUCCESS, CommError, fmt::format("{}: {}", call, mpi_words(code)));
}

CommHandle returning_errors(MPI_Comm raw) {
  CommHandle comm(raw);
  check_mpi(MPI_Comm_set_errhandler(raw, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return comm;
}

}  // namespace bitmill
