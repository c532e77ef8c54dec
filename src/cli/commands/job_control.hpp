#pragma once
// What a command gives a job: its device, and what is known about this start.

#include <memory>
#include <optional>
#include <string>

#include "cli/commands/command.hpp"
#include "device/device.hpp"
#include "format/dtype.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// The device of this rank, as make_device(). What the rank says about itself to the others names a
// GPU from here on.
std::unique_ptr<Device> take_device(const RunContext& context, const std::string& backend,
                                    Dtype dtype);

// With the wishes of signals, time limit and batch system, and the patience of the watch. Rank 0
// judges a rank that is lost; but it may not get the claim on the folder, so the path of its report
// is set when the folder answers. Other ranks judge only when rank 0 is lost. `context` outlives
// the result.
RunControl make_job_control(RunContext& context, const std::string& work_dir,
                            std::optional<double> time_limit_s);

}  // namespace bitmill
