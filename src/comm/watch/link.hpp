#pragma once
// One connection between two watchdogs. It carries lines, and never waits. Internal to comm.

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

  // Keeps for flush() what the socket does not take now. Does not report a peer that is gone;
  // receive() closes the link then.
  void send(const std::string& line);
  void flush();
  // Nothing more is sent; the peer may still speak.
  void end_sending();

  // The complete lines that have come, without their line ends. Closes the link when the peer ended
  // it, when it broke, and when a line is longer than `longest` bytes.
  std::vector<std::string> receive(size_t longest);

 private:
  Socket socket_;
  std::string unsent_;
  std::string unread_;  // the beginning of a line whose end has not come yet
};

}  // namespace bitmill
