#pragma once
// The arguments of a call, checked alike by every implementation. Internal to comm. All throw
// CommError naming the call and the rank, before anything is sent.

#include <cstddef>
#include <span>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// "broadcast on rank 1 of 3"
std::string describe_call(const Communicator& comm, const char* call);

// A rank of this world.
void check_rank(const Communicator& comm, const char* call, int rank);
// A rank of this world other than this one.
void check_peer(const Communicator& comm, const char* call, int peer);
// One entry per rank in both, and the own entries of one size, which are copied here.
void copy_own_entry(const Communicator& comm, std::span<const std::span<const std::byte>> to,
                    std::span<const std::span<std::byte>> from);

}  // namespace bitmill
