#pragma once
// Where a run stands, as people read it: `bitmill status`, and a part of `bitmill report`.

#include <string>

#include "pipeline/folder/run_status.hpp"

namespace bitmill {

const char* word_of(RunPhase phase);
std::string status_table(const RunStatus& status);

}  // namespace bitmill
