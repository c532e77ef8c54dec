#pragma once
// TCP sockets as the watchdog needs them: no child process inherits them, reads and writes never
// wait, and a peer that is gone gives an error code, not a signal. Internal to comm.

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
// Listens on every address of this host. CommError with the system's words.
ListeningSocket listen_anywhere();

// Accepts one waiting connection. Returns no socket when none waits.
Socket accept_one(const ListeningSocket& listener);

// Numeric addresses under which other hosts may reach this one: IPv4 first, then IPv6, without
// loopback and link-local addresses. CommError when the system does not give them.
std::vector<std::string> addresses_of_this_host();
// "127.0.0.1" and "::1"
const std::vector<std::string>& loopback_addresses();

struct ConnectResult {
  Socket socket;        // connected, or none
  std::string problem;  // when there is no socket: the system's words
};
// `address` is numeric. Waits for `seconds` at most.
ConnectResult connect_to(const std::string& address, uint16_t port, double seconds);

// Waits until there is something to read. False when nothing has come after `seconds`.
bool wait_readable(int descriptor, double seconds);

// Seconds since some fixed moment, of a steady clock: setting the system's time does not change it.
double steady_seconds();

}  // namespace bitmill
