#pragma once
// Who holds a run folder: enough to tell a user which process it is, and to find out on the same
// machine that this process is gone.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace bitmill {

struct Holder {
  std::string host;
  int64_t pid = 0;
  std::string job;      // the batch system's number; empty without one
  std::string machine;  // boot id and pid namespace: only inside both does `pid` mean something
  std::string begun;    // start of the process, in clock ticks: the kernel uses a pid again later
  std::string token;    // random name of this claim
};

// This process, with a new token.
Holder this_process(const std::string& host, const std::string& job);

// Seconds since this process was started; the time to load its libraries counts. 0 when the kernel
// does not say.
double process_age_s();

// Whether both are claims of one process.
bool is_same_process(const Holder& a, const Holder& b);

// True when the holder is certainly gone: it ran on this machine, and its process does not exist
// any more. False says nothing.
bool is_gone(const Holder& holder);

// "process 4711 on n3, job 88"
std::string describe(const Holder& holder);

nlohmann::json to_json(const Holder& holder);
Holder holder_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace bitmill
