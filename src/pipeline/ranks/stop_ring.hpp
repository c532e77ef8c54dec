#pragma once
// How the stages of a mesh end together although each is somewhere else: notes that go once around
// the ring of stages, from leader to leader. A wish to stop reaches every stage within a round, and
// each leaves at its own next safe point; when all have finished their plans, all know it.

#include <array>
#include <deque>
#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

class StopRing {
 public:
  // On the leader of each stage. `rank` outlives it.
  explicit StopRing(MeshRank& rank) : rank_(rank) {}

  // Looks for notes and passes them on. Why somebody stops; empty while nobody does.
  const std::string& heard();
  // Tells everybody, once. False when it is too late: all others may have finished already.
  bool stop(const std::string& reason);
  // This stage has finished its plan.
  void finish();
  // All have, and know it.
  bool all_finished() const { return all_finished_; }
  // Waits until this leader has nothing more to hear or to say. To be called when it stops or when
  // all have finished.
  void settle();

 private:
  // Every link carries, in this order: perhaps one `finished`, then exactly one of the others.
  enum class Kind : char { finished, all_finished, stop };
  struct Note {
    Kind kind;
    std::array<char, 79> reason;
  };
  struct Sent {
    Note note;
    std::unique_ptr<Transfer> transfer;
  };

  bool first() const { return rank_.stage() == 0; }
  void poll();
  void take();
  void pass_finished();
  void say(Kind kind, const std::string& reason);

  MeshRank& rank_;
  Note incoming_ = {};
  std::unique_ptr<Transfer> receiving_;
  std::deque<Sent> sent_;
  std::string reason_;
  bool finished_ = false;          // this stage
  bool earlier_finished_ = false;  // all stages before this one
  bool passed_ = false;            // `finished`
  bool said_last_ = false, heard_last_ = false;
  bool all_finished_ = false;
};

}  // namespace bitmill
