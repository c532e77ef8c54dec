#pragma once
// The notes by which ranks tell each other to stop or to go on: a note, its sender and its
// receiver, neither of which waits, and the ring in which the stages pass notes on. Internal to
// this room.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "comm/communicator.hpp"
#include "comm/wait.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// These bytes are what travels.
struct StopNote {
  // Only stages send the last two, in their ring.
  enum class Kind : char { go_on, stop, finished, all_finished };

  Kind kind = Kind::go_on;
  std::array<char, 79> reason = {};  // of a stop; ends with 0, and is cut if it is longer

  // A note `stop` where there is a reason, else `go_on`.
  static StopNote of(const std::string& reason) {
    StopNote note;
    if (!reason.empty()) note.kind = Kind::stop;
    std::copy_n(reason.begin(), std::min(reason.size(), note.reason.size() - 1),
                note.reason.begin());
    return note;
  }
  // The reason; empty where the note says no stop.
  std::string text() const { return reason.data(); }

  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(this, 1)); }
};

// A note that may come from another rank.
class ExpectedNote {
 public:
  ExpectedNote(Communicator& comm, int from) : comm_(comm), from_(from) {}
  // Not copied, because a coming note is written into this object.
  ExpectedNote(const ExpectedNote&) = delete;
  ExpectedNote& operator=(const ExpectedNote&) = delete;

  // Whether the note is here. Does not wait.
  bool here() {
    if (here_) return true;
    if (!transfer_) transfer_ = comm_.start_receive(note_.bytes(), from_);
    here_ = transfer_ && transfer_->done();
    return here_;
  }
  // Waits for the note. The other rank must come to send it, whatever this one does.
  void wait() {
    for (Wait wait(comm_, fmt::format("a note from rank {}", comm_.job_rank(from_))); !here();) {
      wait();
    }
  }
  // REQUIRES: here() has returned true.
  const StopNote& note() const { return note_; }

 private:
  Communicator& comm_;
  const int from_;
  StopNote note_;
  std::unique_ptr<Transfer> transfer_;
  bool here_ = false;
};

// A note on its way to another rank. Two ranks may each send one to the other at the same time.
// Neither of them blocks if each looks for the other's note before it waits for its own to be gone.
class SentNote {
 public:
  SentNote(Communicator& comm, int to, const StopNote& note)
      : comm_(comm), to_(to), note_(note), transfer_(comm.start_send(note_.bytes(), to)) {}
  // Not copied, because the note is sent from this object.
  SentNote(const SentNote&) = delete;
  SentNote& operator=(const SentNote&) = delete;

  // Whether the note has gone. Does not wait.
  bool gone() {
    gone_ = gone_ || transfer_->done();
    return gone_;
  }
  // Waits until it has gone. The other rank must come to look for it, whatever this one does.
  void wait() {
    for (Wait wait(comm_, fmt::format("rank {} to take a note", comm_.job_rank(to_))); !gone();)
      wait();
  }

 private:
  Communicator& comm_;
  const int to_;
  StopNote note_;
  const std::unique_ptr<Transfer> transfer_;
  bool gone_ = false;
};

// Ends the stages of a mesh together, although each is at a different place in the plan. Notes go
// once around the ring of stages, from leader to leader. A wish to stop reaches every stage within
// one round, and each stage leaves at its own next safe point. When all stages have finished their
// plans, all of them get to know it.
class StopRing {
 public:
  // On the leader of each stage. `rank` outlives it.
  explicit StopRing(MeshRank& rank) : rank_(rank) {}

  // Looks for notes and passes them on. Returns why a stage stops; empty while none does.
  const std::string& heard();
  // Tells all stages to stop, once. Returns false when it is too late: all others may have
  // finished.
  bool stop(const std::string& reason);
  // To be called when this stage has finished its plan.
  void finish();
  // True when all stages have finished and this one knows it.
  bool all_finished() const { return all_finished_; }
  // Waits until this leader has got its last note and its own notes have gone; every other leader
  // must come to this call, too. To be called after stop() returned true, heard() returned a
  // reason, or all_finished() is true.
  void settle();

 private:
  bool first() const { return rank_.stage() == 0; }
  void poll();
  void take(const StopNote& note);
  void pass_finished();
  void say(const StopNote& note);

  MeshRank& rank_;
  // The notes that each link carries, in this order: at most one `finished`, then exactly one
  // `all_finished` or `stop`, which is the last note.
  std::optional<ExpectedNote> expected_;
  std::deque<SentNote> sent_;  // on their way
  std::string reason_;
  bool finished_ = false;          // this stage
  bool earlier_finished_ = false;  // all stages before this one
  bool passed_ = false;            // `finished` was sent on
  bool said_last_ = false, heard_last_ = false;
  bool all_finished_ = false;
};

}  // namespace bitmill
