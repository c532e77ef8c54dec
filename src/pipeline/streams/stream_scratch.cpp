#include "pipeline/streams/stream_scratch.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "base/files.hpp"

namespace bitmill {

std::string stream_scratch_path(const std::string& scratch_dir, int rank) {
  return join_path(scratch_dir, fmt::format("streams-{}-{}.tmp", rank, ::getpid()));
}

}  // namespace bitmill
