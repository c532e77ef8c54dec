#pragma once
// The model card of what `bitmill preprocess` writes: an ordinary model that is meant to be
// quantized. The same facts give the same text.

#include <cstdint>
#include <string>

#include "format/handover/source_card.hpp"

namespace bitmill {

struct PreprocessedFacts {
  std::string base_name, hub_id;  // as in CardFacts
  SourceCard source;
  std::string version;  // of the bitmill that made it
  int64_t rank = 0, steps = 0, batch = 0, seq_len = 0;
  std::string loss;                                // "ce" or "kl": what the next two are
  double held_out_before = 0, held_out_after = 0;  // nats per token
};

std::string preprocessed_card(const PreprocessedFacts& facts);

}  // namespace bitmill
