#pragma once
// The options of serve.

#include <cstdint>
#include <string>

#include "cli/options/infer_options.hpp"

namespace bitmill {

struct ServeRequest {
  std::string model;
  std::string name;     // as clients call the model; empty: as the folder is called
  int64_t context = 0;  // 0: not given
  int64_t places = 0;
  int64_t queue = 0;
  std::string host;
  int port = 0;
  std::string key_file;  // empty: not given
  int64_t body_bytes = 0;
  int64_t grace_seconds = 0;
  int64_t log_seconds = 0;
  ProductChoice products;
  bool json = false;
};

OptionGroups serve_option_groups();
// UsageError naming option, value and what is expected.
ServeRequest read_serve_request(const Settings& settings);

// The variable with the key that clients must send.
inline constexpr const char* key_variable = "BITMILL_API_KEY";

}  // namespace bitmill
