#pragma once
// What the program tells a job with a run folder about this start.

#include <optional>
#include <string>

#include "base/files.hpp"
#include "cli/process/stop_signals.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// The number of the batch system's job, the signals, and the deadline: that of `time_limit_s` if
// given, else the batch system's.
RunControl make_run_control(const StopSignals& signals, std::optional<double> time_limit_s);

// Writes a note for a launcher that must find out how the job ended: one line with the run folder,
// and one with the path of this program, which can read it. To be called only when the run folder
// was opened: a start that was refused must not decide about the run.
void leave_run_note(Files& files, const std::string& work_dir);

}  // namespace bitmill
