#include "comm/watch/link.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace bitmill {

void WatchLink::send(const std::string& line) {
  unsent_ += line;
  flush();
}

void WatchLink::flush() {
  while (open() && !unsent_.empty()) {
    const ssize_t sent =
        ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      unsent_.erase(0, static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      unsent_.clear();  // the peer is gone, but what it sent last may still be readable
    }
  }
}

void WatchLink::end_sending() {
  if (open()) ::shutdown(socket_.get(), SHUT_WR);
}

std::vector<std::string> WatchLink::receive(size_t longest) {
  std::vector<std::string> lines;
  std::array<char, 16384> piece;
  while (open()) {
    const ssize_t got = ::recv(socket_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (got <= 0) {
      socket_ = Socket();
      break;
    }
    unread_.append(piece.data(), static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end; (end = unread_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      lines.push_back(unread_.substr(begin, end - begin));
    }
    unread_.erase(0, begin);
    if (unread_.size() > longest) socket_ = Socket();
  }
  return lines;
}

}  // namespace bitmill
