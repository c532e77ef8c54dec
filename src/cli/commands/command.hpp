#pragma once
// What a command is: an entry in the table, and an object made from the user's settings.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
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

// What check() may use.
struct CheckContext {
  Files& files;
  int ranks;
  int threads;
  LeastResources least;  // what every rank has at least; the same value on all ranks
};

// What `bitmill run` tells each of its parts.
struct ChainContext {
  // Called on rank 0 when the part's run folder answers, in the place of the note for a launcher:
  // that is asked for the chain's folder.
  std::function<void()> folder_answers;
  // Called on every rank when the base that preprocess needs is done, and its own work is not
  // begun.
  std::function<void()> base_done;
  // When this start must have ended; a part's own time limit may be earlier.
  std::optional<std::chrono::steady_clock::time_point> deadline;
};

// What run() may use.
struct RunContext {
  Files& files;
  Communicator& comm;
  ThreadPool& pool;
  Console& console;
  const StopSignals& stop;  // to be checked between steps; never has a wish when the command has
                            // no state to commit
  Activity& activity;       // what this rank is doing, for its peers
  Watch& watch;
  int host_rank = 0;                    // this rank's index among those of its host
  const ChainContext* chain = nullptr;  // null: the command is no part of another
};

class Command {
 public:
  virtual ~Command() = default;

  // Checks all that can be checked before the long work, and keeps what it opened and read for
  // run(). Every rank calls it once. It must not communicate: afterwards the ranks tell each other
  // whether one found an error, and if so, none of them calls run(). Time passes until the slowest
  // rank is done, so run() must look again at folders that other processes may write into.
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
  bool stops_on_signals = false;  // it has state to commit; other commands end at once on a signal
  std::string after_signal = "finishing the current step, then the state is written";
  bool watched = false;  // its ranks are under a watchdog; it must then have timeout_option()
  // Reads the settings: UsageError, FileError. Does not look at the model yet.
  std::unique_ptr<Command> (*make)(Files&, const Settings&);
};

// One for each command, in command_NAME.cpp, where NAME is what the user types.
CommandEntry quantize_entry();
CommandEntry tune_entry();
CommandEntry preprocess_entry();
CommandEntry eval_entry();
CommandEntry generate_entry();
CommandEntry serve_entry();
CommandEntry bench_entry();
CommandEntry inspect_entry();
CommandEntry export_entry();
CommandEntry tokenize_entry();
CommandEntry run_entry();
CommandEntry status_entry();
CommandEntry verify_entry();
CommandEntry report_entry();
CommandEntry plan_entry();
CommandEntry devices_entry();

}  // namespace bitmill
