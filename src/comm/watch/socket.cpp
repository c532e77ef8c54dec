#include "comm/watch/socket.hpp"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <system_error>

#include "base/error.hpp"

namespace bitmill {
namespace {

std::string words_of(int code) { return std::generic_category().message(code); }

Socket new_socket(int family) {
  return Socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// Small messages must be sent at once, not collected. If the system refuses, they are only slower.
void send_at_once(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// SOMAXCONN: all ranks may connect at once, so as many may wait as the system allows.
bool start_listening(int descriptor, const sockaddr* address, socklen_t bytes) {
  return ::bind(descriptor, address, bytes) == 0 && ::listen(descriptor, SOMAXCONN) == 0;
}

// IPv4 and IPv6 on one socket where the host has IPv6.
Socket listen_on_both() {
  Socket socket = new_socket(AF_INET6);
  const int off = 0;
  sockaddr_in6 any = {};
  any.sin6_family = AF_INET6;
  any.sin6_addr = in6addr_any;
  const bool ready =
      socket.get() >= 0 &&
      ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 &&
      start_listening(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
  return ready ? std::move(socket) : Socket();
}

Socket listen_on_ipv4() {
  Socket socket = new_socket(AF_INET);
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = INADDR_ANY;
  const bool ready =
      socket.get() >= 0 &&
      start_listening(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any);
  BITMILL_CHECK(ready, CommError,
                fmt::format("rank 0 cannot listen for the other ranks' watchdogs: {}; --timeout 0 "
                            "runs without them",
                            words_of(errno)));
  return socket;
}

uint16_t port_of(const Socket& socket) {
  sockaddr_storage address = {};
  socklen_t bytes = sizeof address;
  BITMILL_CHECK(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &bytes) == 0,
                CommError, fmt::format("getsockname: {}", words_of(errno)));
  // The port is at the same place in the addresses of both families.
  sockaddr_in as_ipv4 = {};
  std::memcpy(&as_ipv4, &address, sizeof as_ipv4);
  return ntohs(as_ipv4.sin_port);
}

bool is_link_local(const sockaddr* address) {
  if (address->sa_family != AF_INET6) return false;
  sockaddr_in6 as_ipv6 = {};
  std::memcpy(&as_ipv6, address, sizeof as_ipv6);
  return IN6_IS_ADDR_LINKLOCAL(&as_ipv6.sin6_addr) != 0;
}

// Waits for any of `events`. False when none has happened after `seconds`.
bool wait_for(int descriptor, short events, double seconds) {
  pollfd waiting = {descriptor, events, 0};
  const double deadline = steady_seconds() + seconds;
  int ready = 0;
  do {
    const double left = std::max(0.0, deadline - steady_seconds());
    ready = ::poll(&waiting, 1, static_cast<int>(std::ceil(left * 1000)));
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

// Waits for the result of a connect() that is still going on. Returns 0 or its error code.
int outcome_of_connect(int descriptor, double seconds) {
  if (!wait_for(descriptor, POLLOUT, seconds)) return ETIMEDOUT;
  int code = 0;
  socklen_t bytes = sizeof code;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &bytes) == 0 ? code : errno;
}

}  // namespace

void SocketTraits::destroy(int descriptor) noexcept { ::close(descriptor); }

ListeningSocket listen_anywhere() {
  ListeningSocket listener;
  listener.socket = listen_on_both();
  if (listener.socket.get() < 0) listener.socket = listen_on_ipv4();
  listener.port = port_of(listener.socket);
  return listener;
}

Socket accept_one(const ListeningSocket& listener) {
  Socket socket;
  do {
    socket =
        Socket(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  } while (socket.get() < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (socket.get() >= 0) send_at_once(socket.get());
  return socket;
}

std::vector<std::string> addresses_of_this_host() {
  ifaddrs* raw = nullptr;
  BITMILL_CHECK(::getifaddrs(&raw) == 0, CommError, fmt::format("getifaddrs: {}", words_of(errno)));
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(raw, ::freeifaddrs);
  std::vector<std::string> ipv4, ipv6;
  for (const ifaddrs* one = all.get(); one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    const int family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const bool reachable = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
    if (!reachable || is_link_local(one->ifa_addr)) continue;
    std::array<char, NI_MAXHOST> text = {};
    const socklen_t bytes = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::getnameinfo(one->ifa_addr, bytes, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) ==
        0) {
      (family == AF_INET ? ipv4 : ipv6).emplace_back(text.data());
    }
  }
  ipv4.insert(ipv4.end(), ipv6.begin(), ipv6.end());
  return ipv4;
}

const std::vector<std::string>& loopback_addresses() {
  static const std::vector<std::string> both = {"127.0.0.1", "::1"};
  return both;
}

ConnectResult connect_to(const std::string& address, uint16_t port, double seconds) {
  addrinfo wanted = {};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* raw = nullptr;
  const int found = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &wanted, &raw);
  if (found != 0) return {Socket(), ::gai_strerror(found)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> target(raw, ::freeaddrinfo);

  Socket socket = new_socket(target->ai_family);
  if (socket.get() < 0) return {Socket(), words_of(errno)};
  send_at_once(socket.get());
  // A connect() that a signal interrupted goes on, just like one that has to wait.
  if (::connect(socket.get(), target->ai_addr, target->ai_addrlen) != 0) {
    int code = errno;
    if (code == EINPROGRESS || code == EINTR) code = outcome_of_connect(socket.get(), seconds);
    if (code != 0) return {Socket(), words_of(code)};
  }
  return {std::move(socket), ""};
}

bool wait_readable(int descriptor, double seconds) { return wait_for(descriptor, POLLIN, seconds); }

double steady_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

}  // namespace bitmill
