#pragma once
// Who holds a run folder: enough to name it to a person, and to see from the same machine that it
// is gone.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace bitmill {

struct Holder {
  std::string host;
  int64_t pid = 0;
  std::string job;      // the batch system's number; empty without one
  std::string machine;  // boot and process-number space: where the number means something
  std::string begun;    // when the process began, in the kernel's ticks: numbers are used again
  std::string token;    // of this one claim
};

// This process, with a token of its own.
Holder this_process(const std::string& host, const std::string& job);

// How long ago this process was started, its libraries loaded: seconds; 0 when the kernel does not
// say.
double process_age_s();

// Surely gone: it ran on this machine, and is no longer there. False is no answer.
bool is_gone(const Holder& holder);

// "process 4711 on n3, job 88"
std::string describe(const Holder& holder);

nlohmann::json to_json(const Holder& holder);
Holder holder_from_json(const nlohmann::json& json, const std::string& where);

}  // namespace bitmill
