#pragma once
// A task's texts as tokens, cut where the scored part begins: as lm-evaluation-harness does it
// (TASKS.md).

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer.hpp"
#include "eval/task_file.hpp"

namespace bitmill {

struct ScoredText {
  std::vector<int32_t> ids;  // context, then continuation; at least one of each
  int64_t context = 0;       // tokens of the context

  int64_t scored() const { return static_cast<int64_t>(ids.size()) - context; }
};

struct TaskTexts {
  std::vector<ScoredText> texts;  // of all pairs of all items, in their order
  int64_t cut = 0;                // texts that were too long and lost the beginning of the context
};

struct TaskTokens {
  bool special = true;  // contexts begin with what the tokenizer puts before a text (BOS)
  int64_t longest = 0;  // tokens that the model can read; a text has one more at most
  int64_t vocab_size = 0;
};

// FormatError, with file and line, for a pair whose context or continuation has no token of its
// own, for a continuation that is longer than `longest`, and for an id beyond the vocabulary.
TaskTexts tokenize_task(const Task& task, const Tokenizer& tokenizer, const TaskTokens& wanted);

// Bytes of white space at the end of valid UTF-8: what Python's str.rstrip() takes away.
size_t trailing_white_bytes(std::string_view text);

}  // namespace bitmill
