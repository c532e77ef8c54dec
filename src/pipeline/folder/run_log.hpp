#pragma once
// The lines that `quantize` writes to blocks.jsonl in the run folder.

#include <string>

#include "pipeline/job/observer.hpp"

namespace bitmill {

// Of a finished epoch. `at`: the position given to finish_epoch().
std::string epoch_line(const Position& at, double loss, double seconds);
// Of a finished block.
std::string packed_line(const BlockReport& report);

}  // namespace bitmill
