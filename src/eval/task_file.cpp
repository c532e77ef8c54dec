#include "eval/task_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/utf8.hpp"
#include "eval/task_texts.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The keys of a line, in the order of the alphabet, as the parser has them.
struct KeysOfKind {
  TaskKind kind;
  std::vector<std::string> keys;
};
const std::array<KeysOfKind, 3>& keys_of_kinds() {
  static const std::array<KeysOfKind, 3> all = {
      {{TaskKind::choices, {"choices", "gold", "query"}},
       {TaskKind::contexts, {"context_options", "continuation", "gold"}},
       {TaskKind::continuation, {"context", "continuation"}}}};
  return all;
}

std::string quoted_keys(const std::vector<std::string>& keys) {
  return fmt::format("\"{}\"", fmt::join(keys, "\", \""));
}

TaskKind kind_of(const json& object, const std::string& where) {
  BITMILL_CHECK(object.is_object(), FormatError,
                fmt::format("{}: expected an object, found {}", where, object.type_name()));
  std::vector<std::string> found;
  for (const auto& [key, value] : object.items()) found.push_back(key);
  std::vector<std::string> known;
  for (const auto& [kind, keys] : keys_of_kinds()) {
    if (keys == found) return kind;
    known.push_back(quoted_keys(keys));
  }
  throw FormatError(fmt::format("{}: the keys {} are those of no kind of task; these are known: {}",
                                where, found.empty() ? "(none)" : quoted_keys(found),
                                fmt::join(known, "; ")));
}

std::string text_at(const json& value, const std::string& name, const std::string& where) {
  BITMILL_CHECK(value.is_string(), FormatError,
                fmt::format("{}: {} is not a string, but {}", where, name, value.type_name()));
  const auto& text = value.get_ref<const std::string&>();
  BITMILL_CHECK(!text.empty(), FormatError, fmt::format("{}: {} is empty", where, name));
  return text;
}

// A model has to have seen something before the first token that is scored.
std::string context_at(const json& value, const std::string& name, const std::string& where) {
  std::string text = text_at(value, name, where);
  BITMILL_CHECK(
      trailing_white_bytes(text) < text.size(), FormatError,
      fmt::format("{}: {} holds nothing but white space; write what the model is to read before "
                  "the answer",
                  where, name));
  return text;
}

std::vector<std::string> texts_at(const json& object, const char* key, const std::string& where,
                                  std::string (*read)(const json&, const std::string&,
                                                      const std::string&)) {
  const json& list = object.at(key);
  BITMILL_CHECK(list.is_array() && list.size() >= 2, FormatError,
                fmt::format("{}: \"{}\" must be a list of two or more strings, and is {}", where,
                            key, list.is_array() ? list.dump() : list.type_name()));
  std::vector<std::string> texts;
  for (const json& value : list) {
    texts.push_back(read(value, fmt::format("entry {} of \"{}\"", texts.size(), key), where));
  }
  return texts;
}

int64_t gold_at(const json& object, int64_t answers, const std::string& where) {
  const int64_t gold = json_int(object, "gold", where);
  BITMILL_CHECK(gold >= 0 && gold < answers, FormatError,
                fmt::format("{}: \"gold\" is {}, and the answers are numbered from 0 to {}", where,
                            gold, answers - 1));
  return gold;
}

std::string with_cue(std::string query, const std::string& cue) {
  if (!cue.empty()) query.resize(query.size() - trailing_white_bytes(query));
  return query + cue;
}

// The one space between a context and what follows.
std::string after_space(const std::string& text) { return " " + text; }

TaskItem read_item(const json& object, TaskKind kind, const TaskReading& reading,
                   const std::string& where) {
  TaskItem item;
  if (kind == TaskKind::continuation) {
    item.pairs.push_back(
        {context_at(object.at("context"), "\"context\"", where),
         after_space(text_at(object.at("continuation"), "\"continuation\"", where))});
    return item;
  }
  if (kind == TaskKind::contexts) {
    const std::string end =
        after_space(text_at(object.at("continuation"), "\"continuation\"", where));
    for (std::string& context : texts_at(object, "context_options", where, context_at)) {
      item.pairs.push_back({std::move(context), end});
    }
  } else {
    const std::string query =
        with_cue(context_at(object.at("query"), "\"query\"", where), reading.cue);
    for (const std::string& choice : texts_at(object, "choices", where, text_at)) {
      item.pairs.push_back({query, after_space(choice)});
      item.lengths.push_back(count_utf8_chars(choice));
    }
  }
  item.gold = gold_at(object, std::ssize(item.pairs), where);
  return item;
}

std::string name_of_task(const std::string& path) {
  const std::string name = file_name(path);
  const size_t dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

}  // namespace

Task read_task(Files& files, const std::string& path, const TaskReading& reading) {
  const std::string content = read_text(files, path);
  Task task{.path = path, .name = name_of_task(path), .kind = {}, .items = {}};
  std::string_view rest = content;
  for (int64_t line = 1; !rest.empty(); ++line) {
    const std::string_view text = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    if (text.find_first_not_of(" \t\r") == text.npos) continue;
    if (reading.max_items > 0 && std::ssize(task.items) == reading.max_items) break;
    const std::string where = fmt::format("{}, line {}", path, line);
    const json object = parse_strict_json(text, where);
    const TaskKind kind = kind_of(object, where);
    if (task.items.empty()) task.kind = kind;
    BITMILL_CHECK(kind == task.kind, FormatError,
                  fmt::format("{}: this line is of another kind than line {}: a file holds one "
                              "task",
                              where, task.items.front().line));
    task.items.push_back(read_item(object, kind, reading, where));
    task.items.back().line = line;
  }
  BITMILL_CHECK(!task.items.empty(), FormatError,
                fmt::format("{} holds no item of a task: give JSON lines, such as "
                            "{{\"query\": \"...\", \"choices\": [\"...\", \"...\"], \"gold\": 0}}",
                            path));
  return task;
}

}  // namespace bitmill
