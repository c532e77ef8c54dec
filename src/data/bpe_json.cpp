// The BPE model as a tokenizer.json writes it.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/bpe.hpp"
#include "data/tokenizer_part.hpp"

namespace bitmill {

using nlohmann::json;

BpeModel::BpeModel(const json& model, const std::string& file) : where_(file + ": model") {
  // Files of GPT-2's time have no "type"; only BPE has merges.
  const std::string type = json_string_or(model, "type", "", where_);
  if (type != "BPE" && !(type.empty() && model.is_object() && model.contains("merges"))) {
    refuse_part(where_, type.empty() ? "a model without a type" : "the model " + type, "BPE");
  }
  read_options(model, where_);
  read_vocabulary(model, where_);
  read_merges(model, where_);
}

void BpeModel::read_options(const json& model, const std::string& where) {
  if (json_number_or(model, "dropout", 0, where) != 0) {
    refuse_part(where, "dropout", "dropout null or 0");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const std::string text = json_string_or(model, affix, "", where);
    if (!text.empty()) refuse_part(where, fmt::format("{} \"{}\"", affix, text), "null or empty");
  }
  if (model.contains("unk_token") && !model["unk_token"].is_null()) {
    unknown_token_ = json_string(model, "unk_token", where);
  }
  fuse_unknown_ = json_bool_or(model, "fuse_unk", false, where);
  byte_fallback_ = json_bool_or(model, "byte_fallback", false, where);
  ignore_merges_ = json_bool_or(model, "ignore_merges", false, where);
}

void BpeModel::read_vocabulary(const json& model, const std::string& where) {
  const auto vocabulary = model.find("vocab");
  BITMILL_CHECK(vocabulary != model.end() && vocabulary->is_object(), FormatError,
                fmt::format("{}: \"vocab\" must be an object of token: id", where));
  id_of_.reserve(vocabulary->size());
  token_of_.reserve(vocabulary->size());
  for (const auto& [token, value] : vocabulary->items()) {
    const bool fits =
        value.is_number_unsigned() && value.get<uint64_t>() < std::numeric_limits<int32_t>::max();
    BITMILL_CHECK(fits, FormatError,
                  fmt::format("{}: token \"{}\" has the id {}, which is not a number in [0, 2^31 - "
                              "1)",
                              where, token, value.dump()));
    const int32_t id = value.get<int32_t>();
    const auto place = id_of_.emplace(token, id).first;
    const auto [other, is_new] = token_of_.emplace(id, place->first);
    BITMILL_CHECK(is_new, FormatError,
                  fmt::format("{}: tokens \"{}\" and \"{}\" have the same id {}", where,
                              other->second, token, id));
    largest_id_ = std::max(largest_id_, id);
  }
}

void BpeModel::read_merges(const json& model, const std::string& where) {
  const auto merges = model.find("merges");
  BITMILL_CHECK(merges != model.end() && merges->is_array(), FormatError,
                fmt::format("{}: \"merges\" must be a list", where));
  merges_.reserve(merges->size());
  int32_t rank = 0;
  for (const json& merge : *merges) {
    if (merge.is_string()) {
      const std::string& text = merge.get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;  // the first line of a merges.txt
      const size_t space = text.find(' ');
      BITMILL_CHECK(space != text.npos && text.find(' ', space + 1) == text.npos, FormatError,
                    fmt::format("{}: merge {} is \"{}\", not two tokens with one space between",
                                where, rank, text));
      add_merge(text.substr(0, space), text.substr(space + 1), rank, where);
    } else {
      const bool is_pair =
          merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
      BITMILL_CHECK(is_pair, FormatError,
                    fmt::format("{}: merge {} is {}, not \"left right\" or [\"left\", \"right\"]",
                                where, rank, merge.dump()));
      add_merge(merge[0].get<std::string>(), merge[1].get<std::string>(), rank, where);
    }
    ++rank;
  }
}

void BpeModel::add_merge(const std::string& left, const std::string& right, int32_t rank,
                         const std::string& where) {
  std::array<int32_t, 3> ids = {};
  const std::array<std::string, 3> tokens = {left, right, left + right};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::optional<int32_t> id = id_of(tokens[i]);
    BITMILL_CHECK(id.has_value(), FormatError,
                  fmt::format("{}: merge {} (\"{}\" + \"{}\") needs the token \"{}\", which is not "
                              "in the vocabulary",
                              where, rank, left, right, tokens[i]));
    ids[i] = *id;
  }
  merges_.insert_or_assign(pair_key(ids[0], ids[1]), Merge{rank, ids[2]});
}

}  // namespace bitmill
