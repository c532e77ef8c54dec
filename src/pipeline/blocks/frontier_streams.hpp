#pragma once
// Keeps the streams of a run that is stopped, and gives them to the next start, on any mesh.
//
// Every stage holds the streams that its blocks read next. All of them together are what the plan
// needs in order to go on; Remaining (schedule/resume.hpp) says which. Rank 0 decides what is kept
// and what is used; every rank writes and reads its own samples.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "checkpoint/frontier_files.hpp"
#include "comm/communicator.hpp"
#include "model/sample_stream.hpp"
#include "pipeline/blocks/frontier_stock.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/sums/sample_share.hpp"
#include "schedule/cost_model.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

class FrontierStreams {
 public:
  using Say = std::function<void(const std::string&)>;
  // What a rank has at hand, of its own samples.
  using Held = std::map<StreamId, const SampleStream*>;

  // On every rank with work. `state` on rank 0, else null. `say` gets sentences for the user.
  // `room_of_a_start`: bytes that the next start must find free beside the streams; rank 0 asks.
  // All arguments outlive it.
  FrontierStreams(FrontierFiles& files, const RunState* state, const Plan& plan, MeshRank& rank,
                  const SampleShare& share, int64_t sample_bytes, ThreadPool& pool, Say say,
                  int64_t room_of_a_start);

  // Collective over the ranks with work. The kept streams that a start after `done` uses; the ranks
  // have compared all of their bytes with the hashes. Removes the others.
  KeptStreams find(const std::vector<BlockDone>& done);
  // Fills `into` with a stream that find() returned. Not collective. FormatError or FileError where
  // it was damaged since; the next find() leaves it out.
  void read(const StreamId& stream, SampleStream& into) const;
  // Collective over the ranks with work, when everything is committed. Keeps those of the held
  // streams that the next start would use, where `costs` say that this is cheaper than replaying.
  // Where a file cannot be written, or the streams would take the room that the next start needs,
  // that is said, and nothing else happens.
  void write(const Held& held, const ResumeCosts& costs);

 private:
  // A stream that is to be written, and what made it (packed_chain(); of the teacher: empty).
  struct Order {
    StreamId stream;
    std::array<char, 40> made_by = {};  // ends with 0
  };

  bool leads() const { return state_ != nullptr; }
  Communicator& all() const { return rank_.control(); }
  // Rank 0 alone:
  KeptStreams choose(const std::vector<BlockDone>& done);
  std::vector<Order> decide(const KeptStreams& held, const ResumeCosts& costs);
  // Whether the next start has room beside `bytes` more bytes; says so where it has not.
  bool leaves_room(int64_t bytes, int64_t to_be_removed) const;
  void remove_all_but(const KeptStreams& used, const FrontierStock& stock);
  void remove_incomplete();
  // Every rank compares its part of all samples of kept_ with the hashes. Why streams cannot be
  // used.
  std::map<StreamId, std::string> look_for_damage() const;
  void write_part(const Order& order, const SampleStream& stream);

  FrontierFiles& files_;
  const RunState* const state_;
  const Plan& plan_;
  MeshRank& rank_;
  const SampleShare& share_;
  const int64_t sample_bytes_;
  ThreadPool& pool_;
  const Say say_;
  const int64_t room_of_a_start_;
  std::map<StreamId, KeptStream> kept_;  // what find() looked at
};

}  // namespace bitmill
