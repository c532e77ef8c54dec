#pragma once
// Errors end the job. A failed call throws an Error that says what, where, with which values, the
// library's own words and, when we have one, what to try. cli/main.cpp catches it, prints it once,
// and aborts the other ranks, because a rank that dies quietly leaves them waiting in a collective.

#include <stdexcept>
#include <string>

namespace bitmill {

class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
// A bad option, configuration, or combination of them: exit code 2.
class UsageError : public Error {
  using Error::Error;
};
// A file is not what it claims to be.
class FormatError : public Error {
  using Error::Error;
};
// The operating system refused a file operation.
class FileError : public Error {
  using Error::Error;
};
// A number that must be finite is not.
class NumericError : public Error {
  using Error::Error;
};
// CUDA, cuBLAS.
class DeviceError : public Error {
  using Error::Error;
};
// MPI, NCCL, or a peer.
class CommError : public Error {
  using Error::Error;
};
// Asked to stop; what was done is committed, and running again goes on from there: exit code 75.
class StopError : public Error {
  using Error::Error;
};
// Another run took this one's run folder over: nothing more may be written.
class ClaimError : public Error {
  using Error::Error;
};

}  // namespace bitmill

// Checks what input, files or peers can get wrong. Never compiled out. `message` is a std::string
// expression that is evaluated only on failure and is all a user sees, so it stands on its own.
// For our own bugs there is assert().
#define BITMILL_CHECK(condition, error_type, message) \
  do {                                                \
    if (!(condition)) throw error_type(message);      \
  } while (false)
