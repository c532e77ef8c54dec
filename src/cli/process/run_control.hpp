#pragma once
// What the program knows of a start, for jobs that keep their state in a run folder.

#include <optional>
#include <string>

#include "base/files.hpp"
#include "cli/process/stop_signals.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// The batch system's job and its deadline, the signals, and a time limit, which wins.
RunControl make_run_control(const StopSignals& signals, std::optional<double> time_limit_s);

// For a launcher that must judge how the job ended: a line with the run folder to ask, and one with
// this program, which can. Not before the folder answers: a start that was refused has no say in
// what becomes of the run.
void leave_run_note(Files& files, const std::string& work_dir);

}  // namespace bitmill
