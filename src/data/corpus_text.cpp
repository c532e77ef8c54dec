#include "data/corpus_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/chat_template.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using namespace std::string_view_literals;

constexpr const char* usual_key = "text";
constexpr const char* chat_key = "messages";
constexpr std::string_view blanks = " \t\r\n";

bool has_believed_ending(const std::string& path) {
  return path.ends_with(".txt") || path.ends_with(".jsonl");
}

// The first line that is not blank.
std::string_view first_text_line(std::string_view content) {
  const size_t begin = content.find_first_not_of(blanks);
  if (begin == content.npos) return {};
  content.remove_prefix(begin);
  return content.substr(0, content.find('\n'));
}

bool is_json_object(std::string_view line) { return line.starts_with('{') && json::accept(line); }

constexpr const char* tokens_hint =
    "write token ids with safetensors.numpy.save_file({\"input_ids\": ids.astype(\"int32\")}, "
    "\"tokens.safetensors\")";
constexpr const char* table_hint = "write its text column as .txt or .jsonl";
constexpr const char* unpack_hint = "unpack it first";

// How files of other kinds begin.
struct Kind {
  std::string_view begin;
  const char* name;
  const char* advice;
};
constexpr std::array kinds = {
    Kind{"\x93NUMPY"sv, "a NumPy array", tokens_hint},
    Kind{"PK\x03\x04"sv, "a zip archive, such as .npz and .pt are", tokens_hint},
    Kind{"PAR1"sv, "a Parquet table", table_hint},
    Kind{"ARROW1"sv, "an Arrow table", table_hint},
    Kind{"GGUF"sv, "a GGUF model", "give a text"},
    Kind{"%PDF-"sv, "a PDF", "extract its text first"},
    Kind{"\x1f\x8b"sv, "compressed (gzip)", unpack_hint},
    Kind{"\x28\xb5\x2f\xfd"sv, "compressed (zstd)", unpack_hint},
    Kind{"\xfd"
         "7zXZ"sv,
         "compressed (xz)", unpack_hint},
    Kind{"\xff\xfe"sv, "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"},
    Kind{"\xfe\xff"sv, "UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"},
};

// For files whose ending says nothing.
void check_is_text(std::string_view content, const std::string& path) {
  for (const Kind& kind : kinds) {
    BITMILL_CHECK(!content.starts_with(kind.begin), UsageError,
                  fmt::format("{} is no text, but {}; {}", path, kind.name, kind.advice));
  }
  const size_t zero = content.find('\0');
  BITMILL_CHECK(zero == content.npos, UsageError,
                fmt::format("{} is no text: byte {} is 0; give a text (UTF-8), JSON lines, or a "
                            "token file (safetensors with input_ids)",
                            path, zero));
  const bool one_value = path.ends_with(".json") && !is_json_object(first_text_line(content));
  BITMILL_CHECK(!one_value, UsageError,
                fmt::format("{}: a JSON file must have an object in every line; a list becomes "
                            "that with jq -c '.[]' {}",
                            path, path));
}

std::string describe_keys(const json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) {
    keys.push_back(fmt::format("\"{}\" ({})", key, value.type_name()));
  }
  return keys.empty() ? "none" : fmt::format("{}", fmt::join(keys, ", "));
}

// What else a line without the key may mean.
std::string advice_for(const json& object) {
  if (object.contains("input_ids")) {
    return std::string("token ids in JSON are not read: ") + tokens_hint;
  }
  const auto text = std::ranges::find_if(object.items(),
                                         [](const auto& item) { return item.value().is_string(); });
  if (text != object.items().end()) {
    return fmt::format("name the one with the text, such as --text-key {}", text.key());
  }
  return fmt::format(
      "none holds a string: write a text as one, or a chat as \"{}\", a list of objects with role "
      "and content",
      chat_key);
}

// The value that a line is asked for: a string, or a list of messages.
const json& value_of(const json& object, const std::string& text_key, const std::string& where) {
  const auto chat = object.find(chat_key);
  const bool chat_is_meant =
      text_key.empty() && !object.contains(usual_key) && chat != object.end() && chat->is_array();
  const std::string key = !text_key.empty() ? text_key : chat_is_meant ? chat_key : usual_key;
  BITMILL_CHECK(
      object.is_object(), FormatError,
      fmt::format("{}: expected an object with \"{}\", found {}", where, key, object.type_name()));
  const auto found = object.find(key);
  BITMILL_CHECK(found != object.end(), FormatError,
                fmt::format("{}: there is no \"{}\"; the keys are {}; {}", where, key,
                            describe_keys(object), advice_for(object)));
  BITMILL_CHECK(found->is_string() || found->is_array(), FormatError,
                fmt::format("{}: \"{}\" is neither a string nor a list of messages, but {}; the "
                            "keys are {}",
                            where, key, found->type_name(), describe_keys(object)));
  return *found;
}

// The lines of a file, joined: texts, or chats, but never both.
CorpusText join_lines(std::string_view content, const std::string& path, CorpusLines& lines) {
  CorpusText joined;
  bool is_first = true;
  int64_t number = 0;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    ++number;
    if (line.find_first_not_of(blanks) == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", path, number);
    const CorpusText text = lines.read(line, where);
    if (!is_first) check_same_kind(text.is_chat, joined.is_chat, where);
    if (!is_first && !text.is_chat) joined.text += "\n\n";
    joined.text += text.text;
    joined.is_chat = text.is_chat;
    is_first = false;
  }
  return joined;
}

}  // namespace

bool is_token_file(Files& files, const std::string& path) {
  if (path.ends_with(".safetensors")) return true;
  if (has_believed_ending(path)) return false;
  const auto file = files.open(path);
  std::array<char, 9> begin = {};  // the length of a JSON header, little-endian, and its first byte
  if (file->size() < std::ssize(begin)) return false;
  file->read(0, std::as_writable_bytes(std::span(begin)));
  uint64_t header = 0;
  std::memcpy(&header, begin.data(), sizeof(header));
  return begin.back() == '{' && header <= static_cast<uint64_t>(file->size()) - sizeof(header);
}

struct CorpusLines::Template {
  std::once_flag once;
  std::optional<ChatTemplate> chat;
};

CorpusLines::CorpusLines(Files& files, std::string model_folder, std::string text_key)
    : files_(files),
      model_folder_(std::move(model_folder)),
      text_key_(std::move(text_key)),
      template_(std::make_unique<Template>()) {}

CorpusLines::~CorpusLines() = default;

CorpusText CorpusLines::read(std::string_view line, const std::string& where) const {
  const json object = parse_json(line, where);
  const json& value = value_of(object, text_key_, where);
  if (value.is_string()) return {value.get_ref<const std::string&>(), /*is_chat=*/false};
  const auto chat = read_chat_messages(value, where);
  std::call_once(template_->once,
                 [&] { template_->chat = read_chat_template(files_, model_folder_); });
  try {
    return {template_->chat->render(chat, {}), /*is_chat=*/true};
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", where, error.what()));
  }
}

void check_same_kind(bool is_chat, bool chats_before, const std::string& where) {
  BITMILL_CHECK(
      is_chat == chats_before, FormatError,
      fmt::format("{}: {}, and the lines before have {}: give files with one or the other", where,
                  is_chat ? "messages of a chat" : "a text", chats_before ? "chats" : "texts"));
}

bool holds_json_lines(std::string_view begin, const std::string& path) {
  if (has_believed_ending(path)) return path.ends_with(".jsonl");
  check_is_text(begin, path);
  return is_json_object(first_text_line(begin));
}

CorpusText read_corpus_text(Files& files, const std::string& path, const std::string& text_key,
                            const std::string& model_folder) {
  std::string content = read_text(files, path);
  if (holds_json_lines(content, path)) {
    CorpusLines lines(files, model_folder, text_key);
    return join_lines(content, path, lines);
  }
  BITMILL_CHECK(
      text_key.empty(), UsageError,
      fmt::format("--text-key {} has no effect: {} is a text, and no JSON lines", text_key, path));
  return {std::move(content)};
}

}  // namespace bitmill
