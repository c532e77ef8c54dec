#pragma once
// What no rank can see alone: whether all of them are about to do the same work, whether the ranks
// of a host fit into it together, and what every rank has at least.

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
  std::string mesh = {};              // in words, where it was chosen: all must have chosen alike

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
  std::string mesh = {};      // in words, where it was chosen
};

// Collective. UsageError, the same on every rank, with every problem, one a line. Returns the
// numerics classes of the ranks that have work, rank 0's first.
std::vector<std::string> check_ranks(const RankWork& work, Files& files, Communicator& comm,
                                     const std::string& host);

// What a rank has to work with.
struct RankResources {
  std::string host;
  int threads = 1;
  int64_t memory_available = 0;  // bytes, of the host; 0: not known
};

// What every rank of a job has at least, the same on all of them: what they plan with, so that all
// plan alike.
struct LeastResources {
  int threads = 1;
  int64_t memory = 0;  // bytes: an even share of what a host can give its ranks; 0: no host says
};

// Pure. REQUIRES: there is a rank.
LeastResources least_resources(const std::vector<RankResources>& all);
// Collective.
LeastResources gather_least_resources(Communicator& comm, const std::string& host, int threads);

}  // namespace bitmill
