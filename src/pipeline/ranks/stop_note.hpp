#pragma once
// Why to stop, as ranks tell each other. An empty note: there is no reason.

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

// As much of a reason as travels.
using Note = std::array<char, 80>;

inline std::span<std::byte> bytes_of(Note& note) { return std::as_writable_bytes(std::span(note)); }

inline Note to_note(const std::string& text) {
  Note note = {};
  std::copy_n(text.begin(), std::min(text.size(), note.size() - 1), note.begin());
  return note;
}

inline void send_note(Communicator& comm, int to, const std::string& text) {
  Note note = to_note(text);
  comm.send(bytes_of(note), to);
}

// A note that may come.
class ExpectedNote {
 public:
  ExpectedNote(Communicator& comm, int from) : comm_(comm), from_(from) {}

  // Looks without waiting.
  bool here() {
    if (here_) return true;
    if (!transfer_) transfer_ = comm_.start_receive(bytes_of(note_), from_);
    here_ = transfer_ && transfer_->done();
    return here_;
  }
  std::string text() const { return note_.data(); }

 private:
  Communicator& comm_;
  const int from_;
  Note note_ = {};
  std::unique_ptr<Transfer> transfer_;
  bool here_ = false;
};

}  // namespace bitmill
