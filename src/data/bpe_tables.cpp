#include "data/bpe_tables.hpp"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_part.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

void check_is_bpe(const json& model, const std::string& where) {
  // Files from the time of GPT-2 have no "type". They are BPE if they have merges.
  const std::string type = json_string_or(model, "type", "", where);
  if (type != "BPE" && !(type.empty() && model.is_object() && model.contains("merges"))) {
    refuse_part(where, type.empty() ? "a model without a type" : "the model " + type, "BPE");
  }
}

BpeOptions read_options(const json& model, const std::string& where) {
  if (json_number_or(model, "dropout", 0, where) != 0) {
    refuse_part(where, "dropout", "dropout null or 0");
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const std::string text = json_string_or(model, affix, "", where);
    if (!text.empty()) refuse_part(where, fmt::format("{} \"{}\"", affix, text), "null or empty");
  }
  BpeOptions options;
  if (model.contains("unk_token") && !model["unk_token"].is_null()) {
    options.unknown_token = json_string(model, "unk_token", where);
  }
  options.fuse_unknown = json_bool_or(model, "fuse_unk", false, where);
  options.byte_fallback = json_bool_or(model, "byte_fallback", false, where);
  options.ignore_merges = json_bool_or(model, "ignore_merges", false, where);
  return options;
}

std::vector<BpeTables::Merge> read_merges(const json& model, const std::string& where) {
  const auto list = model.find("merges");
  BITMILL_CHECK(list != model.end() && list->is_array(), FormatError,
                fmt::format("{}: \"merges\" must be a list", where));
  std::vector<BpeTables::Merge> merges;
  merges.reserve(list->size());
  for (const json& merge : *list) {
    const int32_t rank = static_cast<int32_t>(merges.size());
    if (merge.is_string()) {
      const std::string& text = merge.get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;  // the first line of a merges.txt
      merges.push_back(read_merge(text, rank, where));
      continue;
    }
    const bool is_pair =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    BITMILL_CHECK(is_pair, FormatError,
                  fmt::format("{}: merge {} is {}, not \"left right\" or [\"left\", \"right\"]",
                              where, rank, merge.dump().substr(0, 80)));
    merges.push_back(
        {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), rank});
  }
  return merges;
}

}  // namespace

BpeTables read_bpe_json(const json& model, const std::string& file) {
  const std::string where = file + ": model";
  check_is_bpe(model, where);
  const auto vocabulary = model.find("vocab");
  BITMILL_CHECK(vocabulary != model.end(), FormatError,
                fmt::format("{}: \"vocab\" is missing", where));
  BpeTables tables;
  tables.tokens = read_vocabulary(*vocabulary, where);
  tables.merges = read_merges(model, where);
  tables.options = read_options(model, where);
  tables.tokens_where = tables.merges_where = where;
  return tables;
}

std::vector<std::pair<std::string_view, int32_t>> read_vocabulary(const json& vocabulary,
                                                                  const std::string& where) {
  BITMILL_CHECK(
      vocabulary.is_object(), FormatError,
      fmt::format("{}: the vocabulary (\"vocab\") must be an object of token: id", where));
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  tokens.reserve(vocabulary.size());
  for (const auto& [token, value] : vocabulary.get_ref<const json::object_t&>()) {
    const bool fits =
        value.is_number_unsigned() && value.get<uint64_t>() < std::numeric_limits<int32_t>::max();
    BITMILL_CHECK(fits, FormatError,
                  fmt::format("{}: token \"{}\" has the id {}, which is not a number in [0, 2^31 - "
                              "1)",
                              where, token, value.dump().substr(0, 80)));
    tokens.emplace_back(token, value.get<int32_t>());
  }
  return tokens;
}

BpeTables::Merge read_merge(std::string_view text, int32_t rank, const std::string& where) {
  const size_t space = text.find(' ');
  BITMILL_CHECK(space != text.npos && text.find(' ', space + 1) == text.npos, FormatError,
                fmt::format("{}: merge {} is \"{}\", not two tokens with one space between", where,
                            rank, text.substr(0, 80)));
  return {text.substr(0, space), text.substr(space + 1), rank};
}

}  // namespace bitmill
