#pragma once
// What is wrong with a run that cannot begin: all of it, as far as one thing can be told without
// another.

#include "base/files.hpp"
#include "base/problems.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// For options that check_quantize() refuses, their lag resolved. Touches nothing. Looks at
// settings, model, calibration and folders each for its own; what depends on something that could
// not be read is left out.
Problems find_problems(const QuantizeOptions& options, Files& files, int ranks, int threads);

}  // namespace bitmill
