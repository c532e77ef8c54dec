#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.hpp"
#include "cli/command.hpp"
#include "cli/suggestion.hpp"

namespace bitmill {

const std::vector<CommandEntry>& command_table() {
  static const std::vector<CommandEntry> table = [] {
    std::vector<CommandEntry> entries = {quantize_entry(), tune_entry(),   eval_entry(),
                                         inspect_entry(),  export_entry(), tokenize_entry(),
                                         run_entry(),      status_entry(), verify_entry(),
                                         report_entry(),   plan_entry()};
    for (CommandEntry& entry : entries) {
      if (entry.watched) entry.options.back().options.push_back(timeout_option());
    }
    return entries;
  }();
  return table;
}

const CommandEntry& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const CommandEntry& entry : command_table()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  names.push_back("help");
  throw UsageError(fmt::format("there is no command \"{}\"{}; the commands are {}", name,
                               did_you_mean(name, names, ""), fmt::join(names, ", ")));
}

Option config_option() {
  return {"config", "FILE", "",
          "read options from a section named after the command; the command line wins"};
}

Option threads_option() {
  return {"threads", "N", "the processors of this rank, divided among the ranks that share them",
          "threads of one rank; changes the speed, never the result"};
}

Option timeout_option() {
  return {"timeout", "TIME", "300",
          "end the job when a rank is not heard of, or none does anything, for this long; seconds, "
          "or as 5m or 00:05:00; 0: never"};
}

Option json_option(const std::string& what) {
  return {"json", "", "", "print " + what + " as one JSON object on standard output"};
}

}  // namespace bitmill
