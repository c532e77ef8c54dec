#pragma once
// The scratch file of a rank's streams.

#include <string>

namespace bitmill {

// Its path. The rank number differs between ranks, the process id between jobs that share a folder.
std::string stream_scratch_path(const std::string& scratch_dir, int rank);

}  // namespace bitmill
