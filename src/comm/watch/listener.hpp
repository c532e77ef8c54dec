#pragma once
// How the watchdogs of the other ranks connect to the watchdog of rank 0. Rank 0 listens; the
// others connect and send a token that only ranks of this job know. Rank 0 closes a connection
// without the token. Internal to comm.

#include <poll.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "comm/watch/link.hpp"

namespace bitmill {

// What rank 0 sends to the other ranks, through the communicator.
struct Invitation {
  std::string host;
  std::vector<std::string> addresses;
  uint16_t port = 0;
  std::string token;  // 32 hexadecimal digits

  std::string text() const;
  static Invitation parse(const std::string& text);  // FormatError
};

class WatchListener {
 public:
  // For rank 0 of a job of `ranks`. CommError when the system does not allow it to listen, or does
  // not allow one connection per rank.
  WatchListener(int ranks, const std::string& host);

  const Invitation& invitation() const { return invitation_; }
  // True when all ranks have connected: it does not listen any more.
  bool closed() const { return socket_.socket.get() < 0; }

  void add_to(std::vector<pollfd>& waiting) const;
  // Returns the new connections that showed the token, with their ranks. Accepts each rank once;
  // never waits. `now`: seconds on any rising clock. Closes a connection that sends nothing for
  // long.
  std::vector<std::pair<int, WatchLink>> accept_ranks(double now);

 private:
  struct Joining {
    WatchLink link;
    double since;
  };
  // The rank that `line` names, when it is a Hello with the token, from a rank that has not joined
  // yet; otherwise -1.
  int rank_of(const std::string& line) const;

  Invitation invitation_;
  ListeningSocket socket_;
  std::vector<Joining> joining_;
  std::vector<bool> joined_;  // by rank
};

// Connects a rank other than 0 to rank 0. Tries all addresses again and again, for `seconds`; on
// rank 0's own host it tries loopback first. CommError saying what was tried and what to do.
WatchLink join_watch(const Invitation& invitation, int rank, const std::string& host,
                     double seconds);

}  // namespace bitmill
