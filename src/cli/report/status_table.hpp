#pragma once
// How far a run is, as text for people: for `bitmill status`, and a part of `bitmill report`.

#include <string>

#include "pipeline/folder/run_status.hpp"

namespace bitmill {

const char* word_of(RunPhase phase);
std::string status_table(const RunStatus& status);

}  // namespace bitmill
