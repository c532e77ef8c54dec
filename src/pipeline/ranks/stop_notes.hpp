#pragma once
// The notes by which ranks tell each other that they stop, or that they do not: a note and its two
// ends, neither of which waits, and the ring in which the stages pass notes on. Internal to this
// room.

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "comm/communicator.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// Travels as these bytes.
struct StopNote {
  // Only stages say the last two, in their ring.
  enum class Kind : char { go_on, stop, finished, all_finished };

  Kind kind = Kind::go_on;
  std::array<char, 79> reason = {};  // to stop; ends with 0, and is cut where it is longer

  // `stop` where there is a reason, else `go_on`.
  static StopNote of(const std::string& reason) {
    StopNote note;
    if (!reason.empty()) note.kind = Kind::stop;
    std::copy_n(reason.begin(), std::min(reason.size(), note.reason.size() - 1),
                note.reason.begin());
    return note;
  }
  // Empty where nobody stops.
  std::string text() const { return reason.data(); }

  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(this, 1)); }
};

// A note that may come.
class ExpectedNote {
 public:
  ExpectedNote(Communicator& comm, int from) : comm_(comm), from_(from) {}
  // The note lies in here while it comes.
  ExpectedNote(const ExpectedNote&) = delete;
  ExpectedNote& operator=(const ExpectedNote&) = delete;

  // Looks without waiting.
  bool here() {
    if (here_) return true;
    if (!transfer_) transfer_ = comm_.start_receive(note_.bytes(), from_);
    here_ = transfer_ && transfer_->done();
    return here_;
  }
  // Once it is here.
  const StopNote& note() const { return note_; }

 private:
  Communicator& comm_;
  const int from_;
  StopNote note_;
  std::unique_ptr<Transfer> transfer_;
  bool here_ = false;
};

// A note on its way. Two ranks may each send the other one at the same time: neither blocks, as
// long as each looks for the other's note before it waits for its own to be gone.
class SentNote {
 public:
  SentNote(Communicator& comm, int to, const StopNote& note)
      : note_(note), transfer_(comm.start_send(note_.bytes(), to)) {}
  // The note lies in here until it has gone.
  SentNote(const SentNote&) = delete;
  SentNote& operator=(const SentNote&) = delete;

  // Looks without waiting.
  bool gone() {
    gone_ = gone_ || transfer_->done();
    return gone_;
  }

 private:
  StopNote note_;
  const std::unique_ptr<Transfer> transfer_;
  bool gone_ = false;
};

// How the stages of a mesh end together although each is somewhere else: notes that go once around
// the ring of stages, from leader to leader. A wish to stop reaches every stage within a round, and
// each leaves at its own next safe point; when all have finished their plans, all know it.
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
