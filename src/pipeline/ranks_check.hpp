#pragma once
// What no rank can see alone: whether all of them are about to do the same work, and whether the
// ranks of a host fit into it together.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

// One rank's answer to the questions on which all must agree.
struct RankFacts {
  std::string host;
  std::string program;           // version, and hash of the binary where it can be read
  std::string fingerprint_json;  // settings, model headers, calibration windows
  std::string numerics_class;
  bool allow_mixed_hardware = false;  // ranks at work may be of several numerics classes
  int64_t memory_needed = 0;          // bytes, estimate; 0 beyond the mesh
  int64_t memory_available = 0;       // bytes, of the host; 0: not known

  bool has_work() const { return memory_needed > 0; }
};

// Every problem, in words; `all` is by rank. Kinds of machines may differ where every rank allows
// it, and always on ranks without work. Pure.
std::vector<std::string> differences(const std::vector<RankFacts>& all);
std::vector<std::string> memory_problems(const std::vector<RankFacts>& all);

// What a rank is about to do, as the checks of a job found it.
struct RankWork {
  std::string fingerprint_json;
  std::string numerics_class;
  bool allow_mixed_hardware = false;
  int64_t memory_needed = 0;  // 0 beyond the mesh
};

// Collective. UsageError, the same on every rank, with every problem, one a line. Returns the
// numerics classes of the ranks that have work, rank 0's first.
std::vector<std::string> check_ranks(const RankWork& work, Files& files, Communicator& comm,
                                     const std::string& host);

}  // namespace bitmill
