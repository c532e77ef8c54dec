#pragma once
// Ranks beyond the mesh. They have no work, wait until the work ends, and can still be asked to
// stop.

#include <functional>

#include "comm/communicator.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

using WorkOfARank = std::function<void(const StopWishes&)>;

// Collective over `world`: the first `at_work` ranks run `work`, the others wait. `work` gets this
// rank's wishes; on rank 0 they include the wishes of the waiting ranks. `work` must return on all
// ranks at work, or throw AgreedStop on all of them. In the second case this call throws AgreedStop
// on all ranks of `world`. Any other exception is passed on at once, and then the job must be
// ended. During the call, nobody else may send between rank 0 and the waiting ranks in `world`.
void work_beside_idle_ranks(Communicator& world, int at_work, const StopWishes& wishes,
                            const WorkOfARank& work);

}  // namespace bitmill
