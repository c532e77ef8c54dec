#pragma once
// How the other ranks' watchdogs reach rank 0's. Rank 0 listens; the others connect and show a
// token that only ranks of this job know. A connection without the token is closed. Internal to
// comm.

#include <poll.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "comm/watch/link.hpp"

namespace bitmill {

// What rank 0 tells the others, through the communicator.
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
  // Rank 0 of `ranks`. CommError when the system does not let it listen, or does not allow one
  // connection per rank.
  WatchListener(int ranks, const std::string& host);

  const Invitation& invitation() const { return invitation_; }
  // Everybody has come: it listens no longer.
  bool closed() const { return socket_.socket.get() < 0; }

  void add_to(std::vector<pollfd>& waiting) const;
  // Lets in who has come with the token, each rank once; never waits. `now` in seconds on any
  // rising clock: who says nothing for long is sent away.
  std::vector<std::pair<int, WatchLink>> accept_ranks(double now);

 private:
  struct Joining {
    WatchLink link;
    double since;
  };
  // The rank of somebody who shows the token, or -1.
  int rank_of(const std::string& line) const;

  Invitation invitation_;
  ListeningSocket socket_;
  std::vector<Joining> joining_;
  std::vector<bool> joined_;  // by rank
};

// Connects another rank to rank 0: tries all addresses, loopback first on rank 0's own host, again
// and again for `seconds`. CommError saying what was tried and what to do.
WatchLink join_watch(const Invitation& invitation, int rank, const std::string& host,
                     double seconds);

}  // namespace bitmill
