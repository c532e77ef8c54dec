#pragma once
// The only code that calls the sentencepiece library.

#include <memory>
#include <string>

#include "data/sentencepiece_file.hpp"
#include "data/token_model.hpp"

namespace bitmill {

// `content` is the file's bytes, `file` the same as read_sentencepiece_file() reads them.
// FormatError with the library's words when it refuses the file.
std::unique_ptr<TokenModel> make_sentencepiece_model(const std::string& content,
                                                     SentencePieceFile file,
                                                     const std::string& path);

}  // namespace bitmill
