#pragma once
// Added tokens that a tokenizer.json does not have, and that the files beside it name:
// tokenizer_config.json, special_tokens_map.json, added_tokens.json. transformers adds them when it
// opens the folder, so the same text becomes other tokens.

#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/added_tokens.hpp"

namespace bitmill {

// `own`: the added tokens of folder/tokenizer.json. Returns them with what the files beside it say,
// as transformers 5 understands it. "added_tokens_decoder" of tokenizer_config.json gives flags to
// tokens that are there, and adds the others by id. Only where it is missing are added_tokens.json
// and special_tokens_map.json read. Last come the special tokens that are named and still not
// there. FormatError when two files give different ids to a token.
std::vector<AddedToken> with_tokens_beside(Files& files, const std::string& folder,
                                           std::vector<AddedToken> own);

}  // namespace bitmill
