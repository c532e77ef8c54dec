#include "checkpoint/hashed_json.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr int64_t largest_file = int64_t{64} << 20;  // bytes; a fingerprint has a few thousand

std::string hash_of(const json& content) {
  const std::string text = content.dump();
  return hash_hex(std::as_bytes(std::span(text)));
}

}  // namespace

void write_hashed_json(Files& files, const std::string& path, const std::string& beside,
                       const json& content) {
  const json whole = {{"content", content}, {"hash", hash_of(content)}};
  const std::string text = whole.dump() + "\n";
  const auto file = files.create(beside);
  file->append(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
  files.rename(beside, path);
  files.sync_directory(parent_path(path));
}

json read_hashed_json(Files& files, const std::string& path) {
  const json whole = parse_json(read_text(files, path, largest_file), path);
  const std::string recorded = json_string(whole, "hash", path);
  BITMILL_CHECK(whole.contains("content") && whole["content"].is_object(), FormatError,
                fmt::format("{}: \"content\" must be an object", path));
  const std::string found = hash_of(whole["content"]);
  BITMILL_CHECK(found == recorded, FormatError,
                fmt::format("{} is damaged: its content hashes to {}, and {} was recorded", path,
                            found, recorded));
  return whole["content"];
}

}  // namespace bitmill
