#pragma once
// Streams on their way between neighbouring stages, replica to replica, sample by sample, while
// the rank computes: what can move, moves inside pump().

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>

#include "comm/communicator.hpp"
#include "pipeline/mesh_rank.hpp"

namespace bitmill {

// Memory of one sample, kept alive by `owner`.
struct Packet {
  std::shared_ptr<const void> owner;
  std::span<std::byte> bytes;
};

// A stream that travels: `count()` packets of one size, which both ends know.
class StreamBox {
 public:
  virtual ~StreamBox() = default;
  virtual int64_t count() const = 0;
  virtual Packet read(int64_t i) = 0;
  // Memory for a packet that comes; keep() makes it packet i.
  virtual Packet room() = 0;
  virtual void keep(int64_t i, const Packet& packet) = 0;
};

class StreamLink {
 public:
  // `rank`, of at least two stages, outlives it. `make_box` makes an empty stream to be filled.
  // Accepts `boxes_ahead` >= 1 streams before anybody takes them, and has room for `capacity` more
  // that the other side has not accepted.
  StreamLink(MeshRank& rank, std::function<std::shared_ptr<StreamBox>()> make_box, int boxes_ahead,
             int capacity);

  // Moves everything on as far as it goes without waiting.
  void pump();

  bool has_room() const { return static_cast<int>(outgoing_.size()) < capacity_; }
  void send(std::shared_ptr<StreamBox> box);
  bool all_sent() const { return outgoing_.empty() && sending_.empty(); }

  // Streams that are whole and not taken, in the order sent.
  int arrived() const { return static_cast<int>(whole_.size()); }
  // REQUIRES: arrived() > 0.
  std::shared_ptr<StreamBox> take();

  // When the mesh stops in the middle: waits until every message that was begun is through, here
  // and on the neighbours, who call it too. Nothing can be sent afterwards.
  void leave();

 private:
  struct Moving {
    Packet packet;
    std::unique_ptr<Transfer> transfer;
  };
  struct Outgoing {
    std::shared_ptr<StreamBox> box;
    int64_t next = 0;  // packet
  };

  void pump_sends();
  void pump_receives();
  // Up to `wanted` at a time, as far as messages have come.
  void start_receives(int64_t wanted);

  MeshRank& rank_;
  const std::function<std::shared_ptr<StreamBox>()> make_box_;
  const int boxes_ahead_;
  const int capacity_;
  std::deque<Outgoing> outgoing_;
  std::deque<Moving> sending_;
  std::shared_ptr<StreamBox> filling_;  // that arrives, or is to arrive, now
  int64_t filled_ = 0;                  // packets of it that are here
  Packet empty_;                        // memory for the next packet
  std::deque<Moving> receiving_;
  std::deque<std::shared_ptr<StreamBox>> whole_;
  int64_t sent_ = 0, received_ = 0;  // packets
};

}  // namespace bitmill
