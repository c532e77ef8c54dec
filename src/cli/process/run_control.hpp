#pragma once
// What the program tells a job with a run folder about this start.

#include <functional>
#include <optional>
#include <string>

#include "base/files.hpp"
#include "cli/process/launch.hpp"
#include "cli/process/stop_signals.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// When the batch system ends this job. No time where it has not said one, or where what it said
// cannot be true; then `note` says why it is ignored.
struct JobEnd {
  std::optional<double> seconds_left;
  std::string note = {};
};

// From SLURM_JOB_END_TIME, in seconds since 1970, as `now` is. A time that is past belongs to a job
// that is over: variables stay in shells, containers and images.
JobEnd slurm_job_end(const Environment& environment, double now);

// The number of the batch system's job, the signals, and the deadline: that of `time_limit_s` if
// given, else the batch system's. `say` gets a sentence where that one is ignored.
RunControl make_run_control(const StopSignals& signals, std::optional<double> time_limit_s,
                            const std::function<void(const std::string&)>& say);

// Writes a note for a launcher that must find out how the job ended: one line with the run folder,
// and one with the path of this program, which can read it. To be called only when the run folder
// was opened: a start that was refused must not decide about the run.
void leave_run_note(Files& files, const std::string& work_dir);

}  // namespace bitmill
