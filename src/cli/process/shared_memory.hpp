#pragma once
// The room that Open MPI 4 needs in shared memory. Its ranks of one host talk through files that
// they map, in /dev/shm. Those files are made without taking the room: where it is missing, the
// kernel kills a rank in the middle of the work (SIGBUS).

#include <cstdint>
#include <optional>
#include <string>

#include "base/files.hpp"
#include "cli/process/launch.hpp"

namespace bitmill {

struct SharedMemoryNeed {
  std::string folder;
  int ranks = 0;  // on this host
  int64_t bytes = 0;
};

// What the ranks on this host may come to need together, asked by the first of them. Nothing on the
// others, with one rank, with another library (`library` is MpiSession::library()), or where the
// variables of Open MPI choose another way between ranks.
std::optional<SharedMemoryNeed> shared_memory_need(const Environment& environment,
                                                   const std::string& library);

// To be called before MPI begins. UsageError where the folder has too little room.
void check_shared_memory(const std::optional<SharedMemoryNeed>& need, Files& files);

}  // namespace bitmill
