#include "infer/end_tokens.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

constexpr const char* end_key = "eos_token_id";
constexpr int64_t largest_settings_file = int64_t{1} << 26;  // bytes

int32_t end_token(const nlohmann::json& value, int64_t vocab_size, const std::string& path) {
  const bool fits = value.is_number_integer() && value >= 0 && value < vocab_size;
  BITMILL_CHECK(fits, FormatError,
                fmt::format("{}: \"{}\" has {}, which is no token of the model's vocabulary of {}; "
                            "correct it, or remove the key to end at --max-tokens and --stop only",
                            path, end_key, value.dump(), vocab_size));
  return value.get<int32_t>();
}

// Nothing when the file or the key is missing, or the value is null.
std::optional<std::vector<int32_t>> end_tokens_in(Files& files, const std::string& path,
                                                  int64_t vocab_size) {
  if (!files.exists(path)) return std::nullopt;
  const auto root = parse_json(read_text(files, path, largest_settings_file), path);
  BITMILL_CHECK(root.is_object(), FormatError, fmt::format("{}: must be an object", path));
  const auto found = root.find(end_key);
  if (found == root.end() || found->is_null()) return std::nullopt;
  std::vector<int32_t> ids;
  if (!found->is_array()) return std::vector{end_token(*found, vocab_size, path)};
  for (const auto& value : *found) ids.push_back(end_token(value, vocab_size, path));
  return ids;
}

}  // namespace

std::vector<int32_t> read_end_tokens(Files& files, const std::string& folder, int64_t vocab_size) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (const auto ids = end_tokens_in(files, join_path(folder, name), vocab_size)) return *ids;
  }
  return {};
}

}  // namespace bitmill
