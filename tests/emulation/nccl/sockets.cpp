#include "emulation/nccl/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace bitmill::fake_nccl {
namespace {

constexpr int poll_ms = 20;  // how soon giving up is heard

sockaddr_in to_system(const Address& address) {
  sockaddr_in system = {};
  system.sin_family = AF_INET;
  system.sin_addr.s_addr = address.ip;
  system.sin_port = htons(address.port);
  return system;
}

// Whether the descriptor became ready within one poll.
bool ready(int descriptor, short events) {
  pollfd one{descriptor, events, 0};
  return poll(&one, 1, poll_ms) > 0;
}

void prepare(int descriptor) {
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// Reads or writes with `move` until all is done.
template <typename Move>
bool all_of(int descriptor, short events, size_t bytes, const GivenUp& given_up, Move move) {
  for (size_t done = 0; done < bytes;) {
    if (given_up()) return false;
    const ssize_t count = move(done);
    if (count > 0) {
      done += static_cast<size_t>(count);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      return false;
    } else {
      ready(descriptor, events);
    }
  }
  return true;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    if (valid()) close(descriptor_);
    descriptor_ = other.release();
  }
  return *this;
}

Socket::~Socket() {
  if (valid()) close(descriptor_);
}

int Socket::release() { return std::exchange(descriptor_, -1); }

bool own_ip(uint32_t* ip) {
  const char* const set = std::getenv("NCCL_SOCKET_IFNAME");
  const std::string wanted = set == nullptr ? "lo" : set;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return false;
  bool found = false;
  for (const ifaddrs* one = all; one != nullptr && !found; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    if ((one->ifa_flags & IFF_UP) == 0 || std::string(one->ifa_name).rfind(wanted, 0) != 0) {
      continue;
    }
    *ip = reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr;
    found = true;
  }
  freeifaddrs(all);
  return found;
}

Socket listen_at(uint32_t ip, Address* address) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in system = to_system({ip, 0});
  socklen_t length = sizeof(system);
  if (!socket.valid() || bind(socket.get(), reinterpret_cast<sockaddr*>(&system), length) != 0 ||
      listen(socket.get(), SOMAXCONN) != 0 ||
      getsockname(socket.get(), reinterpret_cast<sockaddr*>(&system), &length) != 0) {
    return {};
  }
  *address = {ip, ntohs(system.sin_port)};
  return socket;
}

Socket accept_one(const Socket& listener, const GivenUp& given_up) {
  while (!given_up()) {
    if (!ready(listener.get(), POLLIN)) continue;
    Socket socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) continue;
    prepare(socket.get());
    return socket;
  }
  return {};
}

Socket connect_to(const Address& address, const GivenUp& given_up) {
  const sockaddr_in system = to_system(address);
  while (!given_up()) {
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.valid()) return {};
    connect(socket.get(), reinterpret_cast<const sockaddr*>(&system), sizeof(system));
    while (!given_up() && !ready(socket.get(), POLLOUT)) {
    }
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0 && !given_up()) {
      prepare(socket.get());
      return socket;
    }
    usleep(poll_ms * 1000);
  }
  return {};
}

bool write_all(const Socket& socket, const void* data, size_t bytes, const GivenUp& given_up) {
  return all_of(socket.get(), POLLOUT, bytes, given_up, [&](size_t done) {
    return send(socket.get(), static_cast<const char*>(data) + done, bytes - done, MSG_NOSIGNAL);
  });
}

bool read_all(const Socket& socket, void* data, size_t bytes, const GivenUp& given_up) {
  return all_of(socket.get(), POLLIN, bytes, given_up, [&](size_t done) {
    return recv(socket.get(), static_cast<char*>(data) + done, bytes - done, 0);
  });
}

}  // namespace bitmill::fake_nccl
