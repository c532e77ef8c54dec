#pragma once
// What a command tells a job with a run folder about this start.

#include <optional>
#include <string>

#include "cli/commands/command.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// With the wishes of signals, time limit and batch system, and the patience of the watch. Rank 0
// judges a rank that is lost; but it may not get the claim on the folder, so the path of its report
// is set when the folder answers. Other ranks judge only when rank 0 is lost. `context` outlives
// the result.
RunControl make_job_control(RunContext& context, const std::string& work_dir,
                            std::optional<double> time_limit_s);

}  // namespace bitmill
