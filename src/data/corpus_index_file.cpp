#include "data/corpus_index_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "data/file_pieces.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr std::string_view index_magic = "bmindex1";
constexpr int64_t bytes_of_hash = 32;
constexpr int64_t bytes_of_end = bytes_of_hash + 16;  // behind the table

void check_index(bool is_fine, const InputFile& file) {
  BITMILL_CHECK(
      is_fine, FormatError,
      fmt::format("{} is damaged: remove it, it is made anew at the next start", file.path()));
}

std::string read_string(const InputFile& file, int64_t offset, int64_t bytes) {
  std::string text(static_cast<size_t>(bytes), '\0');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::string hash_of_records(const InputFile& file, int64_t bytes) {
  Hasher hasher;
  read_file_pieces(file, bytes, [&](std::span<const std::byte> piece) {
    hasher.add(piece);
    return true;
  });
  return hasher.hex();
}

IndexTable parse_table(const std::string& text, const std::string& where) {
  const json object = parse_strict_json(text, where);
  IndexTable table;
  table.documents = json_int(object, "documents", where);
  table.text_bytes = json_int(object, "text_bytes", where);
  table.left_out = json_int(object, "left_out", where);
  table.content_hash = json_string(object, "content", where);
  table.record_hash = json_string(object, "records", where);
  for (const json& file : object.value("files", json::array())) {
    table.files.push_back({json_int(file, "bytes", where),
                           json_bool_or(file, "lines", false, where),
                           json_string(file, "hash", where)});
  }
  return table;
}

}  // namespace

std::string index_end(const IndexTable& table) {
  nlohmann::ordered_json object;
  object["documents"] = table.documents;
  object["text_bytes"] = table.text_bytes;
  object["left_out"] = table.left_out;
  object["content"] = table.content_hash;
  object["records"] = table.record_hash;
  for (const IndexedFile& file : table.files) {
    object["files"].push_back(
        {{"bytes", file.content_bytes}, {"lines", file.is_json_lines}, {"hash", file.source_hash}});
  }
  std::string end = json_text(object);
  const uint64_t length = end.size();
  end += hash_hex(std::as_bytes(std::span(end)));
  end.append(reinterpret_cast<const char*>(&length), sizeof(length));
  end += index_magic;
  return end;
}

IndexTable read_index_table(const InputFile& file) {
  check_index(file.size() >= bytes_of_end, file);
  const std::string end = read_string(file, file.size() - bytes_of_end, bytes_of_end);
  uint64_t length = 0;
  std::memcpy(&length, end.data() + bytes_of_hash, sizeof(length));
  check_index(
      end.ends_with(index_magic) && length <= static_cast<uint64_t>(file.size() - bytes_of_end),
      file);
  const int64_t records = file.size() - bytes_of_end - static_cast<int64_t>(length);
  constexpr int64_t most_bytes = int64_t{64} << 20;  // of a table: far more than a million files
  check_index(static_cast<int64_t>(length) <= most_bytes, file);
  const std::string text = read_string(file, records, static_cast<int64_t>(length));
  check_index(end.starts_with(hash_hex(std::as_bytes(std::span(text)))), file);
  IndexTable table = parse_table(text, file.path());
  constexpr auto record_bytes = static_cast<int64_t>(sizeof(IndexRecord));
  check_index(table.documents >= 1 && records % record_bytes == 0 &&
                  records / record_bytes == table.documents &&
                  hash_of_records(file, records) == table.record_hash,
              file);
  return table;
}

uint32_t check_of(std::string_view stored) {
  const std::string hex = hash_hex(std::as_bytes(std::span(stored)));
  uint32_t check = 0;
  std::from_chars(hex.data() + hex.size() - 8, hex.data() + hex.size(), check, 16);
  return check;
}

}  // namespace bitmill
