#pragma once
// How the stages of a mesh end together although each is somewhere else: notes that go once around
// the ring of stages, from leader to leader. A wish to stop reaches every stage within a round, and
// each leaves at its own next safe point; when all have finished their plans, all know it.
// Internal to this room: StopControl has one.

#include <deque>
#include <optional>
#include <string>

#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/stop_note.hpp"

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
  // Waits until this leader has heard its last note and its own ones have gone: every other leader
  // must come to that point too. After stop() or heard() gave a reason, or all have finished.
  void settle();

 private:
  bool first() const { return rank_.stage() == 0; }
  void poll();
  void take(const StopNote& note);
  void pass_finished();
  void say(const StopNote& note);

  MeshRank& rank_;
  // Every link carries, in this order: perhaps one `finished`, then exactly one `all_finished` or
  // `stop`, which is the last.
  std::optional<ExpectedNote> expected_;
  std::deque<SentNote> sent_;  // on their way
  std::string reason_;
  bool finished_ = false;          // this stage
  bool earlier_finished_ = false;  // all stages before this one
  bool passed_ = false;            // `finished`
  bool said_last_ = false, heard_last_ = false;
  bool all_finished_ = false;
};

}  // namespace bitmill
