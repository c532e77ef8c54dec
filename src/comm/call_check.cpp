#include "comm/call_check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"

namespace bitmill {

std::string describe_call(const Communicator& comm, const char* call) {
  const int rank = comm.job_rank(comm.rank());
  std::string text = fmt::format("{} on rank {}", call, rank);
  if (rank == comm.rank()) text += fmt::format(" of {}", comm.size());
  return text;
}

void check_rank(const Communicator& comm, const char* call, int rank) {
  BITMILL_CHECK(0 <= rank && rank < comm.size(), CommError,
                fmt::format("{}: there is no rank {}", describe_call(comm, call), rank));
}

void check_peer(const Communicator& comm, const char* call, int peer) {
  check_rank(comm, call, peer);
  BITMILL_CHECK(peer != comm.rank(), CommError,
                fmt::format("{}: a rank does not send to itself", describe_call(comm, call)));
}

void copy_own_entry(const Communicator& comm, std::span<const std::span<const std::byte>> to,
                    std::span<const std::span<std::byte>> from) {
  const auto ranks = static_cast<size_t>(comm.size());
  BITMILL_CHECK(to.size() == ranks && from.size() == ranks, CommError,
                fmt::format("{}: {} entries to send and {} to receive; there must be one per rank",
                            describe_call(comm, "exchange"), to.size(), from.size()));
  const auto own = static_cast<size_t>(comm.rank());
  BITMILL_CHECK(to[own].size() == from[own].size(), CommError,
                fmt::format("{}: {} bytes for itself into {} bytes",
                            describe_call(comm, "exchange"), to[own].size(), from[own].size()));
  std::copy(to[own].begin(), to[own].end(), from[own].begin());
}

}  // namespace bitmill
