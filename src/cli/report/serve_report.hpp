#pragma once
// What serve says about itself.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "serve/scheduler.hpp"

namespace bitmill {

struct ServeFigures {
  std::string address;
  std::string name;
  std::string kernel;
  int threads = 0;
  double load_seconds = 0;
  int64_t resident_bytes = 0;  // of the model
  int64_t cache_bytes = 0;     // of all places
  int64_t places = 0;
  int64_t positions = 0;  // of a place
  bool has_key = false;
  std::string no_chat_reason;  // empty: chats work
};

nlohmann::ordered_json serve_json(const ServeFigures& figures);
std::string serve_table(const ServeFigures& figures);

// What happened between two looks, `seconds` apart. Empty when nothing did.
std::string serve_line(const Scheduler::Figures& before, const Scheduler::Figures& now,
                       double seconds);

}  // namespace bitmill
