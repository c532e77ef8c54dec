#pragma once
// Compares what no rank can see alone: whether all ranks are about to do the same work, and whether
// the ranks of a host fit into its memory together. Also finds the resources that every rank has at
// least.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"

namespace bitmill {

// Of a rank that computes on a device with memory of its own; zeros where it does not.
struct DeviceNeed {
  std::string name = {};        // in words
  int64_t usable_bytes = 0;     // that this rank may use of it, by device_share()
  int64_t needed_bytes = 0;     // at least, by least_device_bytes()
  int64_t attention_bytes = 0;  // of needed_bytes: temporary memory of attention
  bool is_float32 = false;      // bfloat16 would need less
};

// What one rank says about the things in which all ranks must agree.
struct RankFacts {
  std::string host;
  std::string program;           // the version, and the hash of the binary where it can be read
  std::string fingerprint_json;  // settings, model headers, calibration windows
  std::string numerics_class;
  bool allow_mixed_hardware = false;  // ranks with work may have several numerics classes
  int64_t memory_needed = 0;          // bytes, estimate; 0 on an idle rank
  int64_t memory_available = 0;       // bytes, of the host; 0: not known
  std::string mesh = {};  // in words, where the planner chose it: all ranks must have the same
  DeviceNeed device = {};
  int64_t memory_limit = 0;  // that memory_needed may not exceed; 0: none

  bool has_work() const { return memory_needed > 0; }
};

// Every problem, in words. `all` is indexed by rank. The numerics class may differ where every rank
// allows it, and always on idle ranks. Pure.
std::vector<std::string> differences(const std::vector<RankFacts>& all);
std::vector<std::string> memory_problems(const std::vector<RankFacts>& all);
std::vector<std::string> device_problems(const std::vector<RankFacts>& all);

// What a rank is about to do, as the checks of the job found.
struct RankWork {
  std::string fingerprint_json;
  std::string numerics_class;
  bool allow_mixed_hardware = false;
  int64_t memory_needed = 0;  // 0 on an idle rank
  int64_t memory_limit = 0;   // that memory_needed may not exceed; 0: none
  std::string mesh = {};      // in words, where the planner chose it
  DeviceNeed device = {};
};

// What a rank says about the device that it computes on.
struct RankDevice {
  std::string host;
  std::string identity;      // as of Device; empty: the host itself
  std::string name;          // in words
  int64_t usable_bytes = 0;  // free there now, less the reserve
};

struct DeviceShare {
  // That a rank may use of its device: what is free there, in equal parts for the ranks that
  // compute on it. 0 where the device has the host's memory.
  int64_t bytes = 0;
  // One sentence for each GPU that several ranks share; the same on every rank.
  std::vector<std::string> notes;
};
// Pure. `all` is indexed by rank.
DeviceShare device_share(const std::vector<RankDevice>& all, size_t rank);
// Collective.
DeviceShare device_share(Communicator& comm, const Device& device, const std::string& host);

// Collective. UsageError, the same on every rank, with every problem, one per line. Returns the
// numerics classes of the ranks that have work, rank 0's first.
std::vector<std::string> check_ranks(const RankWork& work, Files& files, Communicator& comm,
                                     const std::string& host);

// What a rank can use.
struct RankResources {
  std::string host;
  int threads = 1;
  int64_t memory_available = 0;  // bytes, of the host; 0: not known
};

// What every rank of a job has at least. It is the same on all ranks, and the planner works with
// it, so that all ranks choose the same mesh.
struct LeastResources {
  int threads = 1;
  int64_t memory = 0;  // bytes that a rank may use on every host; 0: not known
};

// Pure. REQUIRES: `all` is not empty.
LeastResources least_resources(const std::vector<RankResources>& all);
// Collective.
LeastResources gather_least_resources(Communicator& comm, const std::string& host, int threads);

}  // namespace bitmill
