#pragma once
// How ranks find each other: the unique id holds the address of a thread in the process that made
// it. Every rank tells that thread who it is and gets the table of all; then all connect.

#include <nccl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "emulation/nccl/sockets.hpp"

namespace bitmill::fake_nccl {

// What a rank says about itself.
struct RankInfo {
  int32_t rank;
  int32_t count;    // of ranks, as this one was told
  int32_t device;   // physical number
  uint64_t host;    // the same for ranks that share their devices
  Address address;  // where it takes connections of other ranks
};

// Starts the thread, which ends when one communicator is made, or with the process. False without
// an interface to listen at.
bool make_unique_id(ncclUniqueId* id);

struct Joined {
  ncclResult_t result = ncclSuccess;
  std::string message;        // why not
  std::vector<Socket> peers;  // by rank; not valid for the own one
};

// Returns when all ranks are connected, or with ncclInvalidUsage when they do not fit together: two
// ranks on one device, unequal counts, a rank twice.
Joined join(const ncclUniqueId& id, int rank, int count, int device, const GivenUp& given_up);

}  // namespace bitmill::fake_nccl
