// Streams that do not fit in memory: the disk is asked for a sample while another one is computed.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "noted_files.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using ReadAhead = TinyJob;

struct Reads {
  int ahead = 0;  // of what was asked for before something else was read
  int cold = 0;
};

Reads count_reads(const std::vector<NotedFiles::Note>& notes) {
  Reads reads;
  std::map<int64_t, int> asked;  // offset -> reads before
  int so_far = 0;
  for (const NotedFiles::Note& note : notes) {
    if (note.what == "ask") asked.try_emplace(note.offset, so_far);
    if (note.what != "read") continue;
    const auto ask = asked.extract(note.offset);
    if (!ask.empty() && ask.mapped() < so_far) {
      ++reads.ahead;
    } else {
      ++reads.cold;
    }
    ++so_far;
  }
  return reads;
}

// Eleven samples. The first one that a loop reads of a stream comes cold where no loop before it
// read that stream, and so do the first two that travel.
TEST_F(ReadAhead, WhileASampleIsComputedTheNextIsAskedFor) {
  run(options("memory"));
  for (const int stages : {1, 2}) {
    QuantizeOptions o = options(fmt::format("disk{}", stages));
    o.stages = stages;
    o.stream_memory = 1;  // byte: nothing fits
    NotedFiles first("streams-"), second("streams-");
    const std::array<NotedFiles*, 2> files = {&first, &second};
    run_where(o, stages, [&](int rank) -> Files& { return *files[static_cast<size_t>(rank)]; });
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("memory")) << stages << " stages";
    for (int rank = 0; rank < stages; ++rank) {
      const Reads reads = count_reads(files[static_cast<size_t>(rank)]->notes());
      EXPECT_GT(reads.ahead, 100) << "rank " << rank << " of " << stages;
      EXPECT_GT(reads.ahead, 5 * reads.cold) << "rank " << rank << " of " << stages;
    }
  }
}

}  // namespace
}  // namespace bitmill
