#include "eval/task_texts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "data/unicode_classes.hpp"

namespace bitmill {
namespace {

// Not White_Space, but space for Python: the separators of files, groups, records and units.
constexpr bool is_separator(char byte) { return byte >= 0x1C && byte <= 0x1F; }

class TaskTokenizer {
 public:
  TaskTokenizer(const Tokenizer& tokenizer, const TaskTokens& wanted)
      : tokenizer_(tokenizer), wanted_(wanted), before_(tokenizer.ids_before_text()) {}

  // White space at the context's end goes over to the continuation: tokens of words begin with
  // their space. The whole text is tokenized, and what comes after as many tokens as the context
  // has alone is the continuation.
  ScoredText encode(TaskPair pair, const std::string& where) const {
    const size_t end = pair.context.size() - trailing_white_bytes(pair.context);
    pair.continuation.insert(0, pair.context, end);
    pair.context.resize(end);
    ScoredText text;
    text.ids = encode(pair.context, where);
    text.context = std::ssize(text.ids);
    const std::vector<int32_t> whole = encode(pair.context + pair.continuation, where);
    BITMILL_CHECK(text.context > 0 && std::ssize(whole) > text.context, FormatError,
                  fmt::format("{}: the tokenizer makes {} tokens of the context and {} of it and "
                              "the continuation \"{}\": each needs a token of its own",
                              where, text.context, whole.size(), pair.continuation));
    text.ids.insert(text.ids.end(), whole.begin() + text.context, whole.end());
    check(text, where);
    return text;
  }

 private:
  std::vector<int32_t> encode(const std::string& text, const std::string& where) const {
    try {
      std::vector<int32_t> ids = tokenizer_.encode(text, false);
      const bool begins_so = !before_.empty() && !ids.empty() && ids.front() == before_.front();
      return wanted_.special && !begins_so ? tokenizer_.encode(text, true) : ids;
    } catch (const FormatError& error) {
      throw FormatError(fmt::format("{}: {}", where, error.what()));
    }
  }

  void check(const ScoredText& text, const std::string& where) const {
    BITMILL_CHECK(text.scored() <= wanted_.longest, FormatError,
                  fmt::format("{}: a continuation has {} tokens, and the model can read {}", where,
                              text.scored(), wanted_.longest));
    const int32_t largest = std::ranges::max(text.ids);
    BITMILL_CHECK(largest < wanted_.vocab_size, FormatError,
                  fmt::format("{}: token id {} is not in the model's vocabulary of {}; is it the "
                              "model's own tokenizer?",
                              where, largest, wanted_.vocab_size));
  }

  const Tokenizer& tokenizer_;
  const TaskTokens wanted_;
  const std::vector<int32_t> before_;
};

}  // namespace

TaskTexts tokenize_task(const Task& task, const Tokenizer& tokenizer, const TaskTokens& wanted) {
  const TaskTokenizer encoder(tokenizer, wanted);
  TaskTexts result;
  for (const TaskItem& item : task.items) {
    const std::string where = fmt::format("{}, line {}", task.path, item.line);
    for (const TaskPair& pair : item.pairs) {
      ScoredText text = encoder.encode(pair, where);
      // The last token is not read by the model, only predicted.
      const int64_t surplus = std::ssize(text.ids) - (wanted.longest + 1);
      if (surplus > 0) {
        text.ids.erase(text.ids.begin(), text.ids.begin() + surplus);
        text.context -= surplus;
        ++result.cut;
      }
      result.texts.push_back(std::move(text));
    }
  }
  return result;
}

size_t trailing_white_bytes(std::string_view text) {
  const size_t whole = text.size();
  for (;;) {
    const size_t before = text.size();
    text.remove_suffix(trailing_space_bytes(text));
    while (!text.empty() && is_separator(text.back())) text.remove_suffix(1);
    if (text.size() == before) return whole - before;
  }
}

}  // namespace bitmill
