#include "data/sentencepiece_file.hpp"

#include <fmt/format.h>

#include <functional>

#include "base/error.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

// One field of a protobuf message (https://protobuf.dev/programming-guides/encoding).
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;      // of a varint
  std::string_view bytes;  // of a string or message
};

enum WireType : uint64_t { varint = 0, fixed64 = 1, length_delimited = 2, fixed32 = 5 };

class MessageReader {
 public:
  MessageReader(std::string_view message, const std::string& path) : rest_(message), path_(path) {}

  void for_each(const std::function<void(const Field&)>& visit) {
    while (!rest_.empty()) visit(next());
  }

 private:
  [[noreturn]] void fail() const {
    throw FormatError(fmt::format(
        "{}: is neither a sentencepiece model nor a tiktoken file, or is cut short; get it again "
        "from where the model came from",
        path_));
  }

  Field next() {
    const uint64_t key = read_varint();
    Field field;
    field.number = key >> 3;
    if (field.number == 0) fail();
    switch (key & 7) {
      case varint:
        field.value = read_varint();
        break;
      case fixed64:
        take(8);
        break;
      case length_delimited:
        field.bytes = take(read_varint());
        break;
      case fixed32:
        take(4);
        break;
      default:
        fail();
    }
    return field;
  }

  uint64_t read_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }

  std::string_view take(uint64_t bytes) {
    if (bytes > rest_.size()) fail();
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }

  std::string_view rest_;
  const std::string& path_;
};

void check_piece(const SentencePieceFile::Piece& piece, size_t id, const std::string& path) {
  const uint64_t type = static_cast<uint64_t>(piece.type);
  BITMILL_CHECK(type >= 1 && type <= static_cast<uint64_t>(PieceType::byte), FormatError,
                fmt::format("{}: piece {} is of the unknown type {}", path, id, type));
  BITMILL_CHECK(!piece.text.empty() && piece.text.find('\0') == piece.text.npos &&
                    first_invalid_utf8(piece.text) == std::string_view::npos,
                FormatError,
                fmt::format("{}: piece {} is empty, not UTF-8, or holds a NUL byte; get the file "
                            "again from where the model came from",
                            path, id));
}

SentencePieceFile::Piece read_piece(std::string_view message, const std::string& path) {
  SentencePieceFile::Piece piece;
  MessageReader(message, path).for_each([&](const Field& field) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 3) piece.type = static_cast<PieceType>(field.value);
  });
  return piece;
}

void read_trainer_spec(std::string_view message, const std::string& path, SentencePieceFile& file) {
  MessageReader(message, path).for_each([&](const Field& field) {
    if (field.number == 3) file.model_type = field.value;
    if (field.number == 24) file.whitespace_as_suffix = field.value != 0;
  });
}

void read_normalizer_spec(std::string_view message, const std::string& path,
                          SentencePieceFile& file) {
  MessageReader(message, path).for_each([&](const Field& field) {
    if (field.number == 2) file.has_character_map |= !field.bytes.empty();
    if (field.number == 3) file.add_dummy_prefix = field.value != 0;
    if (field.number == 4) file.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) file.escape_whitespaces = field.value != 0;
  });
}

void read_denormalizer_spec(std::string_view message, const std::string& path,
                            SentencePieceFile& file) {
  MessageReader(message, path).for_each([&](const Field& field) {
    if (field.number == 2) file.has_character_map |= !field.bytes.empty();
  });
}

}  // namespace

SentencePieceFile read_sentencepiece_file(std::string_view content, const std::string& path) {
  SentencePieceFile file;
  MessageReader(content, path).for_each([&](const Field& field) {
    switch (field.number) {
      case 1:
        file.pieces.push_back(read_piece(field.bytes, path));
        check_piece(file.pieces.back(), file.pieces.size() - 1, path);
        break;
      case 2:
        read_trainer_spec(field.bytes, path, file);
        break;
      case 3:
        read_normalizer_spec(field.bytes, path, file);
        break;
      case 5:
        read_denormalizer_spec(field.bytes, path, file);
        break;
      default:
        break;  // the library's own test sentences, and extensions
    }
  });
  return file;
}

}  // namespace bitmill
