#include "data/tokens_beside.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr const char* decoder_key = "added_tokens_decoder";

// One of the files; empty where it is missing.
struct FileBeside {
  std::string path;
  json content = json::object();
};

FileBeside read_beside(Files& files, const std::string& folder, const char* name) {
  FileBeside file{join_path(folder, name)};
  if (!files.exists(file.path)) return file;
  file.content = parse_json(read_text(files, file.path), file.path);
  BITMILL_CHECK(file.content.is_object(), FormatError,
                fmt::format("{}: must be an object", file.path));
  return file;
}

class TokenList {
 public:
  explicit TokenList(std::vector<AddedToken> own) : tokens_(std::move(own)) {
    for (size_t i = 0; i < tokens_.size(); ++i) place_.emplace(tokens_[i].content, i);
  }

  void add_decoder(const json& decoder, const std::string& path) {
    const std::string where = fmt::format("{}: {}", path, decoder_key);
    std::map<int64_t, AddedToken> by_id;
    for (const AddedToken& token : read_added_tokens_decoder(decoder, where)) {
      by_id.emplace(*token.id, token);
    }
    for (const auto& [id, token] : by_id) add_or_change(token, where);
  }

  // {token: id} of added_tokens.json. `special`: names of special tokens.
  void add_map(const FileBeside& file, const std::set<std::string>& special) {
    std::map<int64_t, AddedToken> by_id;
    for (const auto& [content, value] : file.content.items()) {
      AddedToken token;
      token.content = content;
      token.id = json_int(file.content, content.c_str(), file.path);
      token.special = special.contains(content);
      token.normalized = !token.special;
      by_id.emplace(*token.id, token);
    }
    for (const auto& [id, token] : by_id) {
      if (find(token.content) == nullptr) add(token);
    }
  }

  void add_named(const AddedToken& token) {
    if (!token.content.empty() && find(token.content) == nullptr) add(token);
  }

  std::vector<AddedToken> take() { return std::move(tokens_); }

 private:
  AddedToken* find(const std::string& content) {
    const auto it = place_.find(content);
    return it == place_.end() ? nullptr : &tokens_[it->second];
  }

  void add(const AddedToken& token) {
    place_.emplace(token.content, tokens_.size());
    tokens_.push_back(token);
  }

  void add_or_change(const AddedToken& token, const std::string& where) {
    AddedToken* const known = find(token.content);
    if (known == nullptr) {
      add(token);
      return;
    }
    BITMILL_CHECK(!known->id || known->id == token.id, FormatError,
                  fmt::format("{}: \"{}\" has the id {}, and tokenizer.json gives it {}: the files "
                              "are not of one tokenizer; copy both from where the model came from",
                              where, token.content, *token.id, *known->id));
    *known = token;
  }

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> place_;  // in tokens_, by content
};

// The special tokens that the two files name, in the order of transformers. Where both have a key,
// `map` wins. `map` is empty where it is not read.
std::vector<AddedToken> named_tokens(const FileBeside& config, const FileBeside& map) {
  std::vector<AddedToken> tokens;
  const auto add = [&](const json& value, const std::string& where) {
    if (!value.is_null()) tokens.push_back(read_special_token(value, where));
  };
  for (const char* key : special_token_keys) {
    const FileBeside& from = map.content.contains(key) ? map : config;
    add(from.content.value(key, json()), from.path);
  }
  // Names of a model's own, such as "image_token".
  for (const auto& [key, value] : config.content.items()) {
    const bool is_own = key.ends_with("_token") && value.is_string() &&
                        std::ranges::find(special_token_keys, key) == special_token_keys.end();
    if (is_own) add(value, config.path);
  }
  for (const FileBeside* file : {&config, &map}) {
    const json extra = file->content.value("extra_special_tokens", json());
    const json more =
        extra.empty() ? file->content.value("additional_special_tokens", json()) : extra;
    for (const json& value : more) add(value, file->path);  // of a list, or of an object's values
  }
  return tokens;
}

}  // namespace

std::vector<AddedToken> with_tokens_beside(Files& files, const std::string& folder,
                                           std::vector<AddedToken> own) {
  const FileBeside config = read_beside(files, folder, "tokenizer_config.json");
  FileBeside map{join_path(folder, "special_tokens_map.json")};
  TokenList list(std::move(own));
  const json decoder = config.content.value(decoder_key, json());
  std::vector<AddedToken> named;
  if (decoder.is_null()) {
    map = read_beside(files, folder, "special_tokens_map.json");
    named = named_tokens(config, map);
    std::set<std::string> special;
    for (const AddedToken& token : named) special.insert(token.content);
    list.add_map(read_beside(files, folder, "added_tokens.json"), special);
  } else {
    list.add_decoder(decoder, config.path);
    named = named_tokens(config, map);
  }
  for (const AddedToken& token : named) list.add_named(token);
  return list.take();
}

}  // namespace bitmill
