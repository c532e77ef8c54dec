#pragma once
// What generate says about a text that it made.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "infer/generate.hpp"

namespace bitmill {

struct GenerateFigures {
  const Generated& generated;
  std::string kernel;
  int threads = 0;
  double load_seconds = 0;
  int64_t resident_bytes = 0;  // of the model
  int64_t cache_bytes = 0;
  int64_t positions = 0;  // of the cache
};

nlohmann::ordered_json generate_json(const std::string& model, const GenerateFigures& figures);
std::string generate_table(const GenerateFigures& figures);
// That the text ended because the cache was full.
std::string no_room_note(const GenerateFigures& figures);

// "1,234 tokens/s"; "-" for a speed that was not measured (NaN).
std::string format_token_speed(double tokens_per_s);

}  // namespace bitmill
