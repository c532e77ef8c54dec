#pragma once
// Options of the commands that score tasks.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/options/option_list.hpp"
#include "cli/options/settings.hpp"
#include "eval/task_file.hpp"

namespace bitmill {

// --tasks, --task-cue, --task-bos, --max-items.
std::vector<Option> task_options();

struct TaskWishes {
  std::vector<std::string> files;  // empty: no tasks
  TaskReading reading;
  bool bos = true;  // contexts begin with what the tokenizer puts before a text
};
// UsageError for wrong words, and for options that have no effect without --tasks.
TaskWishes read_task_wishes(const Settings& settings);

}  // namespace bitmill
