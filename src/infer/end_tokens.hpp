#pragma once
// The tokens with which a model ends its text, as its folder says.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// "eos_token_id" of generation_config.json, a number or a list; where that file or key is missing,
// of config.json; empty where nobody says. The first wins alone, as in transformers. FormatError,
// with file and value, for what is no id in [0, vocab_size).
std::vector<int32_t> read_end_tokens(Files& files, const std::string& folder, int64_t vocab_size);

}  // namespace bitmill
