#include "infer/end_tokens.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "format/config_file.hpp"

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

// Nothing when the key is missing, or the value is null.
std::optional<std::vector<int32_t>> end_tokens_in(const nlohmann::json& object, int64_t vocab_size,
                                                  const std::string& path) {
  const auto found = object.find(end_key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  std::vector<int32_t> ids;
  if (!found->is_array()) return std::vector{end_token(*found, vocab_size, path)};
  for (const auto& value : *found) ids.push_back(end_token(value, vocab_size, path));
  return ids;
}

nlohmann::json read_generation_config(Files& files, const std::string& path) {
  auto object = parse_json(read_text(files, path, largest_settings_file), path);
  BITMILL_CHECK(object.is_object(), FormatError, fmt::format("{}: must be an object", path));
  return object;
}

}  // namespace

std::vector<int32_t> read_end_tokens(Files& files, const std::string& folder, int64_t vocab_size) {
  const std::string path = join_path(folder, "generation_config.json");
  if (files.exists(path)) {
    const auto ids = end_tokens_in(read_generation_config(files, path), vocab_size, path);
    if (ids) return *ids;
  }
  const auto ids =
      end_tokens_in(read_config_json(files, folder), vocab_size, join_path(folder, "config.json"));
  return ids.value_or(std::vector<int32_t>());
}

}  // namespace bitmill
