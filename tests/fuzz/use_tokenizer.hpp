#pragma once
// Calls everything that the program calls of a tokenizer, on a text with many kinds of characters.

#include <limits>
#include <vector>

#include "data/tokenizer.hpp"

namespace bitmill::fuzz {

inline void use_tokenizer(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids = tokenizer.encode(
      "It's 2026,  a\tb\r\n\n  caf\u00e9 <s>\u65e5\u672c \U0001F600 \u0301 aaaaaaaab</s>", true);
  for (const int32_t id : {-1, 0, 1, 300, std::numeric_limits<int32_t>::max()}) ids.push_back(id);
  for (const bool skip_special : {false, true}) {
    tokenizer.decode(ids, skip_special);
    const auto stream = tokenizer.start_decoding(skip_special);
    for (const int32_t id : ids) stream->push(id);
    stream->finish();
  }
}

}  // namespace bitmill::fuzz
