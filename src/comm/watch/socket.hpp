#pragma once
// TCP sockets as the watchdog needs them: never inherited by a child, never waiting, and a peer
// that is gone is a result, not a signal. Internal to comm.

#include <cstdint>
#include <string>
#include <vector>

#include "base/handle.hpp"

namespace bitmill {

struct SocketTraits {
  using Type = int;
  static int null() { return -1; }
  static void destroy(int descriptor) noexcept;
};
using Socket = UniqueHandle<SocketTraits>;

struct ListeningSocket {
  Socket socket;
  uint16_t port = 0;  // chosen by the system
};
// On every address of this host. CommError with the system's words.
ListeningSocket listen_anywhere();

// One connection that waits to be accepted, or no socket.
Socket accept_one(const ListeningSocket& listener);

// Numeric addresses under which other hosts may know this one, IPv4 before IPv6; without loopback
// and link-local ones. CommError.
std::vector<std::string> addresses_of_this_host();
// "127.0.0.1" and "::1"
const std::vector<std::string>& loopback_addresses();

struct ConnectResult {
  Socket socket;        // connected, or none
  std::string problem;  // then: the system's words
};
// `address` is numeric. Waits for `seconds` at most.
ConnectResult connect_to(const std::string& address, uint16_t port, double seconds);

// Waits until there is something to read. False when `seconds` passed before.
bool wait_readable(int descriptor, double seconds);

// Seconds since any fixed moment; no one sets this clock.
double steady_seconds();

}  // namespace bitmill
