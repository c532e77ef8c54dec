#include "cli/commands/command_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.hpp"
#include "base/suggestion.hpp"
#include "cli/options/not_yet.hpp"

namespace bitmill {

const std::vector<CommandEntry>& command_table() {
  static const std::vector<CommandEntry> table = [] {
    std::vector<CommandEntry> entries = {
        quantize_entry(), tune_entry(),     preprocess_entry(), eval_entry(),
        generate_entry(), serve_entry(),    bench_entry(),      inspect_entry(),
        export_entry(),   tokenize_entry(), run_entry(),        status_entry(),
        verify_entry(),   report_entry(),   plan_entry(),       devices_entry()};
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
  BITMILL_CHECK(!is_command_not_yet(name), UsageError,
                fmt::format("bitmill {} is not there yet; the commands of this version are {}",
                            name, fmt::join(names, ", ")));
  throw UsageError(fmt::format("there is no command \"{}\"{}; the commands are {}", name,
                               did_you_mean(name, names, ""), fmt::join(names, ", ")));
}

}  // namespace bitmill
