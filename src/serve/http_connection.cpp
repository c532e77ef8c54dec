#include "serve/http_connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bitmill {
namespace {

constexpr size_t buffer_bytes = 1 << 14;
constexpr std::chrono::milliseconds look_every(100);
// After the last reply: what a client still sends is read and dropped for so long, because a close
// with unread bytes would destroy a reply that is still on its way.
constexpr std::chrono::milliseconds longest_goodbye(500);

}  // namespace

HttpConnection::HttpConnection(int socket, const ConnectionLimits& limits,
                               const std::atomic<bool>& closing)
    : socket_(socket), limits_(limits), closing_(closing), buffer_(buffer_bytes) {}

HttpConnection::~HttpConnection() {
  ::shutdown(socket_, SHUT_WR);
  const auto deadline = Clock::now() + longest_goodbye;
  while (wait_for(POLLIN, deadline)) {
    if (::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT) <= 0) break;
  }
  ::close(socket_);
}

bool HttpConnection::wait_for_request(std::chrono::seconds time,
                                      const std::function<bool()>& hurry) {
  in_body_ = false;
  left_ = limits_.head_bytes;
  const auto until = Clock::now() + time;
  while (next_ == end_) {
    if (closing_ || hurry() || Clock::now() >= until) return false;
    if (wait_for(POLLIN, std::min(until, Clock::now() + look_every))) break;
  }
  deadline_ = Clock::now() + limits_.head;
  return true;
}

void HttpConnection::begin_body() {
  in_body_ = true;
  left_ = 2 * limits_.body_bytes;
  deadline_ = Clock::now() + limits_.body;
}

bool HttpConnection::is_connected() const {
  // The end is seen even where bytes that nobody has read yet came before it.
  pollfd entry = {socket_, POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) <= 0 || (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0;
}

bool HttpConnection::is_readable() const { return next_ < end_ || wait_for(POLLIN, deadline_); }

bool HttpConnection::is_writable() const {
  return is_connected() && wait_for(POLLOUT, Clock::now());
}

// -1 at the end of what the client sends, and when a limit is reached.
ssize_t HttpConnection::read(char* to, size_t size) {
  if (left_ <= 0) return -1;
  if (next_ == end_ && !fill()) return -1;
  const size_t count = std::min({size, end_ - next_, static_cast<size_t>(left_)});
  std::memcpy(to, buffer_.data() + next_, count);
  next_ += count;
  left_ -= static_cast<int64_t>(count);
  return static_cast<ssize_t>(count);
}

ssize_t HttpConnection::write(const char* from, size_t size) {
  size_t sent = 0;
  while (sent < size) {
    const auto until = Clock::now() + limits_.stalled;
    bool ready = false;
    do {
      ready = wait_for(POLLOUT, std::min(until, Clock::now() + look_every));
    } while (!ready && !closing_ && Clock::now() < until);
    if (!ready) return -1;
    const ssize_t count = ::send(socket_, from + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) continue;
    if (count <= 0) return -1;
    sent += static_cast<size_t>(count);
  }
  return static_cast<ssize_t>(size);
}

// Whether one of `events`, or an error, came in time.
bool HttpConnection::wait_for(short events, Clock::time_point deadline) const {
  pollfd entry = {socket_, events, 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    const int ready = ::poll(&entry, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

bool HttpConnection::fill() {
  next_ = end_ = 0;
  while (wait_for(POLLIN, std::min(deadline_, Clock::now() + look_every)) ||
         Clock::now() < deadline_) {
    if (closing_) return false;
    const ssize_t count = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (count > 0) {
      end_ = static_cast<size_t>(count);
      return true;
    }
    const bool nothing_yet =
        count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (!nothing_yet) return false;
  }
  return false;
}

}  // namespace bitmill
