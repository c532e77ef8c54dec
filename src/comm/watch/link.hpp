#pragma once
// One connection between two watchdogs, as lines. Never waits. Internal to comm.

#include <string>
#include <vector>

#include "comm/watch/socket.hpp"

namespace bitmill {

class WatchLink {
 public:
  WatchLink() = default;  // closed
  // A connected socket.
  explicit WatchLink(Socket socket) : socket_(std::move(socket)) {}

  bool open() const { return socket_.get() >= 0; }
  int descriptor() const { return socket_.get(); }
  bool has_unsent() const { return !unsent_.empty(); }

  // What the socket does not take now is kept for flush(). A peer that is gone shows in receive().
  void send(const std::string& line);
  void flush();
  // Nothing more is sent; the peer may still speak.
  void end_sending();

  // The lines that have come whole, without their ends. Closes the link when the peer ended it,
  // when it broke, and when a line is longer than `longest` bytes.
  std::vector<std::string> receive(size_t longest);

 private:
  Socket socket_;
  std::string unsent_;
  std::string unread_;  // the beginning of a line
};

}  // namespace bitmill
