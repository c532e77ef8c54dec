#pragma once
// The door to the sentencepiece library.

#include <memory>
#include <string>

#include "data/sentencepiece_file.hpp"
#include "data/token_model.hpp"

namespace bitmill {

// `content` is the file, `file` what it says. FormatError with the library's words when it refuses
// the file.
std::unique_ptr<TokenModel> make_sentencepiece_model(const std::string& content,
                                                     SentencePieceFile file,
                                                     const std::string& path);

}  // namespace bitmill
