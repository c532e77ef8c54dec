#pragma once
// Checks of a call's arguments, the same for every implementation. Internal to comm. All functions
// throw CommError naming the call and the rank, before anything is sent.

#include <cstddef>
#include <span>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// "broadcast on rank 1 of 3". After a split() the size is left out, as the rank is the job's.
std::string describe_call(const Communicator& comm, const char* call);

// Throws unless `rank` is a rank of `comm`.
void check_rank(const Communicator& comm, const char* call, int rank);
// Throws unless `peer` is a rank of `comm` other than this one.
void check_peer(const Communicator& comm, const char* call, int peer);
// Copies this rank's own entry of an exchange(). Throws unless `to` and `from` have one entry per
// rank and the own entries have the same size.
void copy_own_entry(const Communicator& comm, std::span<const std::span<const std::byte>> to,
                    std::span<const std::span<std::byte>> from);

}  // namespace bitmill
