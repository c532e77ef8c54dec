#include "cli/options/task_options.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "cli/options/shared_options.hpp"

namespace bitmill {
namespace {

// \n is a new line, \t a tab, \\ a backslash.
std::string unescaped(const std::string& text, const std::string& origin) {
  std::string result;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      result += text[at];
      continue;
    }
    const char next = ++at < text.size() ? text[at] : '\0';
    BITMILL_CHECK(next == 'n' || next == 't' || next == '\\', UsageError,
                  fmt::format("{}: \"{}\": after a backslash only n, t or another backslash are "
                              "understood",
                              origin, text));
    result += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
  }
  return result;
}

}  // namespace

std::vector<Option> task_options() {
  return {{"tasks", "FILE,...", "",
           "questions with known answers, as JSON lines: accuracy of a model that takes the most "
           "likely answer"},
          {"task-cue", "TEXT", "nothing",
           "text between a query and its choices, in place of the white space at the query's end; "
           "a new line is written \\n, as in '\\nAnswer:'"},
          {"task-bos", "on|off", "on",
           "contexts of tasks begin with the tokens that the tokenizer adds before a text (BOS)"},
          {"max-items", "N", "all", "the first N items of each task only"}};
}

TaskWishes read_task_wishes(const Settings& settings) {
  TaskWishes wishes;
  wishes.files = read_list(settings, "tasks", "names of files");
  for (const char* name : {"task-cue", "task-bos", "max-items"}) {
    BITMILL_CHECK(!wishes.files.empty() || !settings.has(name), UsageError,
                  fmt::format("{} has no effect without --tasks", settings.origin(name)));
  }
  wishes.reading.cue = unescaped(settings.text_or("task-cue", ""), settings.origin("task-cue"));
  wishes.reading.max_items = settings.whole_or("max-items", 0, 1, INT64_MAX);
  wishes.bos = settings.word_or("task-bos", {"on", "off"}, 0) == 0;
  return wishes;
}

}  // namespace bitmill
