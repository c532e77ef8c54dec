#pragma once
// One text on its way through a model: the cache of its keys and values, and how long it is.

#include <cstdint>

#include "infer/kv_cache.hpp"
#include "model/config.hpp"
#include "model/rotary.hpp"

namespace bitmill {

struct Session {
  // For at most `positions` tokens, prompt included. REQUIRES: 1 <= positions <= the context.
  Session(const ModelConfig& config, int64_t positions)
      : cache(config, positions), rotary(make_rotary(config, positions)) {}

  KvCache cache;
  Rotary rotary;       // of all positions
  int64_t length = 0;  // tokens that were seen; setting it to 0 forgets them
};

}  // namespace bitmill
