#include "cli/process/run_control.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <system_error>

namespace bitmill {
namespace {

using SteadyClock = std::chrono::steady_clock;

SteadyClock::time_point seconds_from_now(double seconds) {
  return SteadyClock::now() +
         std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(seconds));
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Sets the deadline, as a time of the steady clock, which is never set back.
void set_deadline(StopWishes& wishes, std::optional<double> time_limit_s, const JobEnd& job_end) {
  if (time_limit_s) {
    wishes.deadline = seconds_from_now(*time_limit_s);
  } else if (job_end.seconds_left) {
    wishes.deadline = seconds_from_now(*job_end.seconds_left);
    wishes.after_deadline = "Run the same command again, in another job, to go on";
  }
}

}  // namespace

JobEnd slurm_job_end(const Environment& environment, double now) {
  constexpr double seconds_per_year = 365.25 * 24 * 3600;
  const auto text = environment("SLURM_JOB_END_TIME");
  if (!text) return {};
  const auto ignored = [&](const std::string& why) {
    return JobEnd{std::nullopt,
                  fmt::format("SLURM_JOB_END_TIME is \"{}\", {}: it is ignored; --time-limit says "
                              "when this start must end",
                              *text, why)};
  };
  int64_t end = 0;
  const char* const last = text->data() + text->size();
  const auto [rest, code] = std::from_chars(text->data(), last, end);
  if (code != std::errc() || rest != last) return ignored("which is no time in seconds since 1970");
  const double left = static_cast<double>(end) - now;
  if (left <= 0) return ignored(fmt::format("which was {:.0f} s ago", -left));
  // A job without a limit ends, for Slurm, in a year.
  if (left > 100 * seconds_per_year) return ignored("which is more than a hundred years from now");
  return {left};
}

RunControl make_run_control(const StopSignals& signals, std::optional<double> time_limit_s,
                            const std::function<void(const std::string&)>& say) {
  const Environment environment = process_environment();
  RunControl control;
  control.host = host_name();
  control.job = environment("SLURM_JOB_ID").value_or("");
  control.wishes.asked = [&signals] { return signals.wanted() ? signals.reason() : ""; };
  const JobEnd job_end = slurm_job_end(environment, seconds_since_1970());
  if (!time_limit_s && !job_end.note.empty()) say(job_end.note);
  set_deadline(control.wishes, time_limit_s, job_end);
  return control;
}

void leave_run_note(Files& files, const std::string& work_dir) {
  const auto note = process_environment()("BITMILL_RUN_NOTE");
  if (!note) return;
  const std::string program = files.resolve("/proc/self/exe");
  replace_file(files, *note, files.resolve(work_dir) + "\n" + program + "\n");
}

}  // namespace bitmill
