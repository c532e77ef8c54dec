#pragma once
// Reads a sentencepiece model file. We do not leave this to the library alone: it gives access to
// only part of the file, and it does not check what it reads.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

// The numbers are those of sentencepiece_model.proto, and so are the defaults below.
enum class PieceType : uint64_t { normal = 1, unknown, control, user_defined, unused, byte };

struct SentencePieceFile {
  struct Piece {
    std::string text;
    PieceType type = PieceType::normal;
  };
  std::vector<Piece> pieces;  // by id
  uint64_t model_type = 1;    // 1 Unigram, 2 BPE, 3 word, 4 character
  bool whitespace_as_suffix = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool has_character_map = false;  // normalizes or denormalizes characters
};

// FormatError for bytes that are not such a file, and for pieces that are empty, are not UTF-8,
// hold a NUL byte, or have an unknown type.
SentencePieceFile read_sentencepiece_file(std::string_view content, const std::string& path);

}  // namespace bitmill
