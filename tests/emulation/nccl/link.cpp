#include "emulation/nccl/link.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace bitmill::fake_nccl {

void Link::queue(const Header& header) {
  headers_.push_back(header);
  out_.push_back({reinterpret_cast<const char*>(&headers_.back()), sizeof(Header)});
}

void Link::queue(const char* data, uint64_t bytes) {
  if (bytes > 0) out_.push_back({data, bytes});
}

bool Link::write_some() {
  Piece& piece = out_.front();
  const ssize_t count = send(socket_.get(), piece.data, piece.left, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  piece.data += count;
  piece.left -= static_cast<uint64_t>(count);
  if (piece.left == 0) out_.pop_front();
  if (out_.empty()) headers_.clear();
  return true;
}

bool Link::read_some(std::deque<Operation>* receives, bool* mismatch) {
  const bool in_body = body_ > 0;
  char* const to =
      in_body ? receives->front().data + body_done_ : reinterpret_cast<char*>(&head_) + head_bytes_;
  const uint64_t most = in_body ? body_ - body_done_ : sizeof(Header) - head_bytes_;
  const ssize_t count = recv(socket_.get(), to, most, MSG_DONTWAIT);
  if (count == 0) return false;
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (in_body) {
    body_done_ += static_cast<uint64_t>(count);
    if (body_done_ == body_) {
      receives->pop_front();
      body_ = body_done_ = 0;
    }
    return true;
  }
  head_bytes_ += static_cast<size_t>(count);
  if (head_bytes_ < sizeof(Header)) return true;
  head_bytes_ = 0;
  if (head_.word == Word::ready) ready_for.push_back(head_);
  if (head_.word == Word::mismatch) *mismatch = true;
  if (head_.word == Word::data) {
    body_ = head_.bytes;
    if (body_ == 0) receives->pop_front();
  }
  return true;
}

}  // namespace bitmill::fake_nccl
