#pragma once
// How many threads a rank may use without slowing down the other ranks on its host.

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace bitmill {

// One bit per processor of the host, ascending; words of zeros at the end do not count.
using CpuMask = std::vector<uint64_t>;

// The mask of the calling thread. Error when the system does not give it.
CpuMask read_affinity();

struct RankPlace {
  std::string host;
  CpuMask cpus;
};

// The processors in the mask of `rank`, divided by the ranks of its host whose masks overlap it; at
// least 1.
int default_threads(const std::vector<RankPlace>& places, int rank);

// Collective: every rank's place, on every rank.
std::vector<RankPlace> gather_places(Communicator& comm, const RankPlace& mine);

}  // namespace bitmill
