#pragma once
// Ranks beyond the mesh: they have no work, wait for its end, and may be asked to stop all the
// same.

#include <functional>

#include "comm/communicator.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

using WorkOfARank = std::function<void(const StopWishes&)>;

// Collective over `world`, of which the first `at_work` ranks run `work` and the others wait.
// `work` is given the rank's own wishes, on rank 0 with what the waiting ranks wish. It returns on
// all ranks at work, or throws AgreedStop on all of them; then so does this, on all ranks of the
// world. What else it throws passes through at once: such a world has to be ended. Until then
// nobody else says anything between rank 0 and the waiting ones in `world`.
void work_beside_idle_ranks(Communicator& world, int at_work, const StopWishes& wishes,
                            const WorkOfARank& work);

}  // namespace bitmill
