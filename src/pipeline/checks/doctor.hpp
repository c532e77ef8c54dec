#pragma once
// Finds everything that is wrong with a run that cannot begin, as far as one problem can be found
// in spite of another.

#include "base/files.hpp"
#include "base/problems.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

// For options that check_quantize() refuses. REQUIRES: their lag is resolved. Touches nothing.
// Looks at settings, model, calibration and folders separately. Leaves out what depends on
// something that could not be read.
Problems find_problems(const QuantizeOptions& options, Files& files, int ranks, int threads);

}  // namespace bitmill
