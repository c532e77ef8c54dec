#pragma once
// Where a rank hears that writing to the run folder has failed.

#include "checkpoint/run_writer.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

// Every safe point of a job asks for the wishes to stop. With the wishes that this returns, it also
// throws there what a commit of `writer` failed with. `writer` outlives them; null on a rank that
// does not write.
StopWishes with_failures_of(RunWriter* writer, const StopWishes& wishes);

}  // namespace bitmill
