#pragma once
// The note by which ranks tell each other that they stop, or that they do not, and its two ends.
// Neither end waits. Internal to this room.

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// Travels as these bytes.
struct StopNote {
  // Only stages say the last two: stop_ring.hpp.
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

}  // namespace bitmill
