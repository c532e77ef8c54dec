#pragma once
// The connection to one peer, as the operations of a communicator use it: what the peer waits for,
// what still has to be written, what is being read.

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "emulation/nccl/sockets.hpp"

namespace bitmill::fake_nccl {

enum class Kind : uint32_t { pair, gather, broadcast };

// One half of a transfer. `data` is an address as device work sees it.
struct Operation {
  bool sends;
  int peer;
  char* data;
  uint64_t bytes;
  Kind kind;
};

enum class Word : uint32_t { ready, data, mismatch };

// Goes before everything: "ready to receive", data that follow, or "this does not fit".
struct Header {
  Word word;
  Kind kind;
  uint64_t bytes;
};

class Link {
 public:
  Link() = default;
  explicit Link(Socket socket) : socket_(std::move(socket)) {}

  int descriptor() const { return socket_.get(); }
  bool has_to_write() const { return !out_.empty(); }

  void queue(const Header& header);
  // Not copied: must live until it is written.
  void queue(const char* data, uint64_t bytes);

  // Both return false when the peer is gone.
  bool write_some();
  // Reads headers into ready_for, and data into the first of `receives`, which it takes off the
  // list when all of it has come. `mismatch` is set when the peer says so.
  bool read_some(std::deque<Operation>* receives, bool* mismatch);

  std::deque<Header> ready_for;  // receives that the peer has posted and nobody has served

 private:
  struct Piece {
    const char* data;
    uint64_t left;
  };
  Socket socket_;
  std::deque<Piece> out_;
  std::deque<Header> headers_;  // that pieces of out_ point to
  Header head_{};
  size_t head_bytes_ = 0;  // of head_ that have come
  uint64_t body_ = 0;      // bytes of data that follow head_
  uint64_t body_done_ = 0;
};

}  // namespace bitmill::fake_nccl
