#pragma once
// Keeps the streams of a run that is stopped, and gives them to the next start, on any number of
// replicas. For runs of one stage, where one block reads at a time.

#include <functional>
#include <string>

#include "base/thread_pool.hpp"
#include "checkpoint/frontier_files.hpp"
#include "comm/communicator.hpp"
#include "model/sample_stream.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

class FrontierStreams {
 public:
  using Say = std::function<void(const std::string&)>;

  // On every replica. `state` on the leader, else null. `say` gets sentences for the user. All
  // arguments outlive it.
  FrontierStreams(FrontierFiles& files, const RunState* state, Communicator& replicas,
                  const SampleShare& share, ThreadPool& pool, Say say);

  // Collective, as the two calls below. What is kept and a start can begin at; none when that is
  // nothing. Removes what no start can begin at any more.
  KeptStreams find(const Plan& plan, const std::vector<BlockDone>& done);
  // Fills both streams. False, on all replicas, when a replica could not read its samples; the
  // leader has said why.
  bool read(const KeptStreams& kept, SampleStream& student, SampleStream& teacher);
  // Keeps both streams, in the place of what was kept before; not where what is kept is of a later
  // block of this turn. Where a file cannot be written, nothing is kept, and that is said.
  void write(const KeptStreams& kept, const SampleStream& student, const SampleStream& teacher);

 private:
  bool leads() const { return state_ != nullptr; }
  KeptStreams look(const Plan& plan, const std::vector<BlockDone>& done);
  bool is_newer(const KeptStreams& kept) const;
  // Collective: the first trouble of any replica, on all of them; empty when none has any.
  std::string first_of(const std::string& trouble);

  FrontierFiles& files_;
  const RunState* const state_;
  Communicator& replicas_;
  const SampleShare& share_;
  ThreadPool& pool_;
  const Say say_;
};

}  // namespace bitmill
