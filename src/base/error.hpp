#pragma once
// Errors end the job. A failed call throws an Error. Its message says what failed, where, with
// which values, the library's own words and, when we know it, what to try. cli/main.cpp catches the
// error, prints it once, and aborts the other ranks: without that they would wait in a collective
// for the rank that is gone.

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
// A GPU, or the way to it, broke while it worked: another start may succeed, here or elsewhere.
class DeviceLostError : public DeviceError {
  using DeviceError::DeviceError;
};
// MPI, NCCL, or a peer.
class CommError : public Error {
  using Error::Error;
};
// Another rank, its host or the network was lost while all went well: another start may succeed.
class PeerLostError : public CommError {
  using CommError::CommError;
};
// The run was asked to stop. Finished work is committed, and the next start goes on from there:
// exit code 75.
class StopError : public Error {
  using Error::Error;
};
// Another process took over the run folder: this one may write nothing more.
class ClaimError : public Error {
  using Error::Error;
};

}  // namespace bitmill

// Checks what input, files or peers can get wrong. Never compiled out. `message` is a std::string
// expression, evaluated only on failure. The user sees nothing else, so it must be clear alone.
// For our own bugs there is assert().
#define BITMILL_CHECK(condition, error_type, message) \
  do {                                                \
    if (!(condition)) throw error_type(message);      \
  } while (false)
