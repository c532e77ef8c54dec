#pragma once
// NCCL's errors in words, and what to try. Internal to channel.

#include <nccl.h>

#include <string>
#include <string_view>

namespace bitmill {

// "ncclRemoteError: remote process exited or there was a network error (lost rank 1)". `detail`:
// NCCL's own last words; may be empty.
std::string nccl_words(ncclResult_t result, std::string_view detail);
// What to do about it; never empty.
std::string nccl_advice(ncclResult_t result, std::string_view detail);

// Throws where `result` is neither success nor "in progress". `place` is this rank, host and
// device, `doing` what it was about to do: both stand in the message. PeerLostError where another
// rank or the network failed after all were `connected`: the next start may go on. Otherwise
// CommError.
void check_nccl(ncclResult_t result, ncclComm_t comm, std::string_view place,
                std::string_view doing, bool connected);
// For a transfer, or a connection, that is not through after its time.
[[noreturn]] void throw_nccl_late(double seconds, std::string_view place, std::string_view doing);

}  // namespace bitmill
