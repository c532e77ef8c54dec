#pragma once
// `bitmill plan --job tune`: the memory and disk of a tuning, from config.json alone.

#include <memory>

#include "cli/commands/command.hpp"

namespace bitmill {

// The options of `plan` that only this job has.
OptionGroup plan_tune_options();

// `all`: every option of `plan`. UsageError for those that have no effect on this job.
std::unique_ptr<Command> make_plan_tune(const Settings& settings, const OptionGroups& all);

}  // namespace bitmill
