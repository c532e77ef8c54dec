#pragma once
// One TCP connection as httplib reads and writes it, with limits of its own: httplib's line reader
// has none on the length of a head, and waits for each byte anew.

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bitmill {

struct ConnectionLimits {
  int64_t head_bytes = 1 << 14;      // of a request's first line and headers
  int64_t body_bytes = 1 << 21;      // as it comes over the wire, twice as much: chunks have heads
  std::chrono::seconds idle{30};     // until the next request begins
  std::chrono::seconds head{10};     // from a request's first byte to the end of its head
  std::chrono::seconds body{60};     // from there to the end of its body
  std::chrono::seconds stalled{10};  // a write that makes no progress
};

class HttpConnection final : public httplib::Stream {
 public:
  // Owns `socket`. `closing` is looked at while it waits, and ends every wait.
  HttpConnection(int socket, const ConnectionLimits& limits, const std::atomic<bool>& closing);
  // Says goodbye so that the client can still read what was sent, and closes.
  ~HttpConnection() override;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Waits until a request begins. False: none came in `time`, and the connection is to be closed.
  // `hurry` is asked several times a second, and ends the wait.
  bool wait_for_request(std::chrono::seconds time, const std::function<bool()>& hurry);
  // The head has been read: from now on the limits of bodies hold.
  void begin_body();
  bool has_body_begun() const { return in_body_; }

  // Whether the client is still there; never waits. A client that has closed its sending side
  // counts as gone.
  bool is_connected() const;

  // What is still to come of this request is not read: no other can follow.
  void give_up() { given_up_ = true; }
  bool is_given_up() const { return given_up_; }

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* to, size_t size) override;
  ssize_t write(const char* from, size_t size) override;
  void get_remote_ip_and_port(std::string&, int&) const override {}  // nobody asks
  void get_local_ip_and_port(std::string&, int&) const override {}   // nobody asks
  socket_t socket() const override { return socket_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool wait_for(short events, Clock::time_point deadline) const;
  bool fill();

  const int socket_;
  const ConnectionLimits& limits_;
  const std::atomic<bool>& closing_;
  std::vector<char> buffer_;
  size_t next_ = 0, end_ = 0;  // what of the buffer was received and not read
  int64_t left_ = 0;           // bytes that this part of the request may still have
  Clock::time_point deadline_;
  bool in_body_ = false;
  bool given_up_ = false;
};

}  // namespace bitmill
