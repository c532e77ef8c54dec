#include "cli/process/run_control.hpp"

#include <chrono>
#include <cstdlib>

#include "cli/process/launch.hpp"

namespace bitmill {
namespace {

using SteadyClock = std::chrono::steady_clock;

SteadyClock::time_point seconds_from_now(double seconds) {
  return SteadyClock::now() +
         std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(seconds));
}

// The batch system's deadline, as a time of the steady clock, which is never set back.
std::optional<SteadyClock::time_point> slurm_deadline(const Environment& environment) {
  const auto text = environment("SLURM_JOB_END_TIME");
  if (!text) return std::nullopt;
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return seconds_from_now(std::strtod(text->c_str(), nullptr) - now);
}

}  // namespace

RunControl make_run_control(const StopSignals& signals, std::optional<double> time_limit_s) {
  const Environment environment = process_environment();
  RunControl control;
  control.host = host_name();
  control.job = environment("SLURM_JOB_ID").value_or("");
  control.wishes.asked = [&signals] { return signals.wanted() ? signals.reason() : ""; };
  control.wishes.deadline =
      time_limit_s ? seconds_from_now(*time_limit_s) : slurm_deadline(environment);
  return control;
}

void leave_run_note(Files& files, const std::string& work_dir) {
  const auto note = process_environment()("BITMILL_RUN_NOTE");
  if (!note) return;
  const std::string program = files.resolve("/proc/self/exe");
  replace_file(files, *note, files.resolve(work_dir) + "\n" + program + "\n");
}

}  // namespace bitmill
