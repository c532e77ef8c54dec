#pragma once
// A task: questions with known answers, one JSON object in every line of a file. TASKS.md says
// which keys there are and how the texts are put together.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// choices: a query and several answers. contexts: several beginnings and one end. continuation: the
// end of a text, word for word.
enum class TaskKind { choices, contexts, continuation };

// A text in two parts: the model is asked how likely `continuation` is after `context`.
struct TaskPair {
  std::string context;
  std::string continuation;
};

struct TaskItem {
  int64_t line = 0;              // in the file, from 1
  std::vector<TaskPair> pairs;   // one for each answer; continuation: one
  std::vector<int64_t> lengths;  // choices: characters of each answer, which acc_norm divides by
  int64_t gold = 0;              // the pair that is right
};

struct Task {
  std::string path;
  std::string name;  // of the file, without its ending
  TaskKind kind = TaskKind::choices;
  std::vector<TaskItem> items;
};

struct TaskReading {
  // Between a query and its answers, in place of the white space at the query's end. Empty: the
  // query stays as it is.
  std::string cue;
  int64_t max_items = 0;  // the first ones only; 0: all
};

// Blank lines are skipped. FormatError, with file and line, for a line that is not an object with
// exactly the keys of one kind; for lines of two kinds; for fewer than two answers, an empty one,
// or a gold answer that does not exist; for an empty context; and for a file without items.
Task read_task(Files& files, const std::string& path, const TaskReading& reading);

}  // namespace bitmill
