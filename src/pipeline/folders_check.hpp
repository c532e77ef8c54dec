#pragma once
// Whether the folders of a run can take what it will write, asked before the hours of work.

#include <string>
#include <vector>

#include "pipeline/quantize.hpp"

namespace bitmill {

// Touches nothing. UsageError with every problem, one a line: a folder that lies where it would do
// harm, cannot be written or is too small for `plan`, or a work folder that holds something else.
// An output folder that holds the finished result passes as it is: nothing will be written.
//
// REQUIRES: check_output() has nothing against the output folder.
void check_folders(const QuantizeOptions& options, Files& files, const QuantizePlan& plan);

// The same as a list, whatever the output folder holds.
std::vector<std::string> folder_problems(const QuantizeOptions& options, Files& files,
                                         const QuantizePlan& plan);

}  // namespace bitmill
