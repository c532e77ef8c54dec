#pragma once
// What a command is: an entry in the table, and an object made from the user's settings.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "cli/options/settings.hpp"
#include "cli/options/shared_options.hpp"
#include "cli/process/stop_signals.hpp"
#include "cli/process/watch.hpp"
#include "cli/report/console.hpp"
#include "comm/communicator.hpp"
#include "comm/watch/activity.hpp"
#include "pipeline/ranks/ranks_check.hpp"

namespace bitmill {

// What the checks before the work may know.
struct CheckContext {
  Files& files;
  int ranks;
  int threads;
  LeastResources least;  // what every rank has: the same on all of them
};

// What the work has.
struct RunContext {
  Files& files;
  Communicator& comm;
  ThreadPool& pool;
  Console& console;
  const StopSignals& stop;  // to be looked at between steps; always without a wish where the
                            // command has no state to commit
  Activity& activity;       // what this rank is doing, for its peers
  Watch& watch;
};

class Command {
 public:
  virtual ~Command() = default;

  // Finds out what can be found out before the long work, and keeps what it opened and read for
  // run(). Every rank calls it, once; it must not communicate: afterwards the ranks tell each other
  // whether one found an error, and then none of them calls run(). Until then time passes, as long
  // as the slowest rank needs: run() looks again at folders that others may write into.
  virtual void check(const CheckContext&) {}
  // Collective.
  virtual void run(RunContext& context) = 0;
};

struct CommandEntry {
  std::string name;
  std::string summary;             // a line, without a full stop
  std::string about;               // a sentence or two for somebody new
  std::vector<std::string> usage;  // after "bitmill "
  std::string example;             // a whole command line
  std::string positional;          // the option that a word without dashes sets; may be empty
  OptionGroups options;
  bool stops_on_signals = false;  // it has state to commit; others end where a signal meets them
  bool watched = false;  // its ranks look after each other; it then has timeout_option(), too
  // Reads the settings: UsageError, FileError. Does not look at the model yet.
  std::unique_ptr<Command> (*make)(Files&, const Settings&);
};

// One for each command, in command_NAME.cpp, NAME being what the user types.
CommandEntry quantize_entry();
CommandEntry tune_entry();
CommandEntry eval_entry();
CommandEntry inspect_entry();
CommandEntry export_entry();
CommandEntry tokenize_entry();
CommandEntry run_entry();
CommandEntry status_entry();
CommandEntry verify_entry();
CommandEntry report_entry();
CommandEntry plan_entry();

}  // namespace bitmill
