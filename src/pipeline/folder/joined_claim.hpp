#pragma once
// Rank 0 claims the run folder. Other ranks that write there join its claim.

#include <memory>
#include <string>

#include "checkpoint/claim.hpp"
#include "comm/communicator.hpp"
#include "pipeline/folder/run_session.hpp"

namespace bitmill {

// Collective. `session` on rank 0, else null. Null on a rank that does not join.
std::unique_ptr<Claim> broadcast_claim(Communicator& comm, const std::string& work_dir,
                                       Files& files, const RunSession* session, bool joins);

}  // namespace bitmill
