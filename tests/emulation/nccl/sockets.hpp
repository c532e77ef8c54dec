#pragma once
// TCP connections between ranks. Every wait ends when `given_up` becomes true.

#include <cstdint>
#include <functional>
#include <string>

namespace bitmill::fake_nccl {

using GivenUp = std::function<bool()>;

// A descriptor, closed at the end.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  int release();

 private:
  int descriptor_ = -1;
};

struct Address {
  uint32_t ip;    // network order
  uint16_t port;  // host order
};

// Of the interface that NCCL_SOCKET_IFNAME names (by the beginning of its name), else the loopback
// interface. False when no interface has such a name and an IPv4 address.
bool own_ip(uint32_t* ip);

// A listening socket at `ip`, on a port that the system chooses.
Socket listen_at(uint32_t ip, Address* address);
// Not valid when given up.
Socket accept_one(const Socket& listener, const GivenUp& given_up);
// Tries again while nobody listens there yet.
Socket connect_to(const Address& address, const GivenUp& given_up);

// False when the other side is gone, or when given up.
bool write_all(const Socket& socket, const void* data, size_t bytes, const GivenUp& given_up);
bool read_all(const Socket& socket, void* data, size_t bytes, const GivenUp& given_up);

}  // namespace bitmill::fake_nccl
