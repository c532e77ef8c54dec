#include "data/tokenizer_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

json read_object(Files& files, const std::string& path) {
  if (!files.exists(path)) return json::object();
  json root = parse_json(read_text(files, path), path);
  BITMILL_CHECK(root.is_object(), FormatError, fmt::format("{}: must be an object", path));
  return root;
}

std::optional<bool> optional_bool(const json& root, const char* key, const std::string& where) {
  const auto found = root.find(key);
  if (found == root.end() || found->is_null()) return std::nullopt;
  return json_bool_or(root, key, false, where);
}

// {token: id}. Other files say which of them are special.
void read_added_tokens_json(Files& files, const std::string& folder, TokenizerConfig& config) {
  const std::string path = join_path(folder, "added_tokens.json");
  const json root = read_object(files, path);
  for (const auto& [content, value] : root.items()) {
    AddedToken token;
    token.content = content;
    token.id = json_int(root, content.c_str(), path);
    token.normalized = true;
    config.add(token);
  }
}

// The special tokens that `root` names. A token that is already known becomes special.
void read_special_tokens(const json& root, const std::string& where, TokenizerConfig& config) {
  const auto read = [&](const json& value) {
    if (value.is_null()) return;
    const AddedToken token = read_special_token(value, where);
    config.add(token);
    AddedToken& known = config.added_tokens[config.index_of[token.content]];
    if (known.special) return;
    known.special = true;
    known.normalized = false;
  };
  for (const char* key : special_token_keys) read(root.value(key, json()));
  const json more = root.value("additional_special_tokens", json());
  BITMILL_CHECK(more.is_null() || more.is_array(), FormatError,
                fmt::format("{}: \"additional_special_tokens\" must be a list", where));
  for (const json& value : more) read(value);
}

std::optional<std::string> token_name(const json& config, const json& map, const char* key,
                                      const std::string& where) {
  const json& from = config.contains(key) ? config : map;
  const json value = from.value(key, json());
  return value.is_null() ? std::nullopt : std::optional(read_special_token(value, where).content);
}

}  // namespace

void TokenizerConfig::add(const AddedToken& token) {
  if (index_of.emplace(token.content, added_tokens.size()).second) added_tokens.push_back(token);
}

void TokenizerConfig::add_special(const std::string& content) {
  AddedToken token;
  token.content = content;
  token.special = true;
  add(token);
}

void TokenizerConfig::sort_by_id() {
  std::stable_sort(added_tokens.begin(), added_tokens.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  for (size_t i = 0; i < added_tokens.size(); ++i) index_of[added_tokens[i].content] = i;
}

TokenizerConfig read_tokenizer_config(Files& files, const std::string& folder) {
  TokenizerConfig config;
  config.path = join_path(folder, "tokenizer_config.json");
  const std::string map_path = join_path(folder, "special_tokens_map.json");
  const json root = read_object(files, config.path);
  const json map = read_object(files, map_path);

  config.tokenizer_class = json_string_or(root, "tokenizer_class", "", config.path);
  if (config.tokenizer_class.ends_with("Fast")) {
    config.tokenizer_class.resize(config.tokenizer_class.size() - std::string_view("Fast").size());
  }
  config.bos_token = token_name(root, map, "bos_token", config.path);
  config.eos_token = token_name(root, map, "eos_token", config.path);
  config.add_bos_token = optional_bool(root, "add_bos_token", config.path);
  config.add_eos_token = optional_bool(root, "add_eos_token", config.path);
  config.add_prefix_space = optional_bool(root, "add_prefix_space", config.path);
  config.legacy = json_bool_or(root, "legacy", true, config.path);

  for (const AddedToken& token : read_added_tokens_decoder(
           root.value("added_tokens_decoder", json()), config.path + ": added_tokens_decoder")) {
    config.add(token);
  }
  read_added_tokens_json(files, folder, config);
  config.sort_by_id();
  read_special_tokens(root, config.path, config);
  read_special_tokens(map, map_path, config);
  return config;
}

SequenceTemplate template_of(const TokenizerConfig& config, bool add_bos, bool add_eos,
                             const TokenModel& model) {
  const auto ids_of = [&](bool wanted, const std::optional<std::string>& token, const char* key) {
    std::vector<int32_t> ids;
    if (!wanted) return ids;
    BITMILL_CHECK(token.has_value(), FormatError,
                  fmt::format("{}: add_{} is set, and no {} is named; name it there or set "
                              "add_{} to false",
                              config.path, key, key, key));
    std::optional<int32_t> id = model.id_of(*token);
    const auto added = config.index_of.find(*token);
    if (!id && added != config.index_of.end() && config.added_tokens[added->second].id) {
      id = static_cast<int32_t>(*config.added_tokens[added->second].id);
    }
    BITMILL_CHECK(id.has_value(), FormatError,
                  fmt::format("{}: the {} \"{}\" is neither in the vocabulary nor among the added "
                              "tokens",
                              config.path, key, *token));
    ids.push_back(*id);
    return ids;
  };
  return SequenceTemplate(ids_of(add_bos, config.bos_token, "bos_token"),
                          ids_of(add_eos, config.eos_token, "eos_token"));
}

}  // namespace bitmill
