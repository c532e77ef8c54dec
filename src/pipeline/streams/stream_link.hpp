#pragma once
// Streams on their way between neighbouring stages, replica to replica, sample by sample, while
// the rank computes: what can move, moves inside pump().

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "comm/communicator.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// Memory of one sample, kept alive by `owner`.
struct Packet {
  std::shared_ptr<const void> owner;
  std::span<std::byte> bytes;
};

// What is sent at one time and taken at one time: `count()` packets, all of the size that every
// packet of the link has.
class StreamBox {
 public:
  virtual ~StreamBox() = default;
  virtual int64_t count() const = 0;
  virtual Packet read(int64_t i) = 0;
  // Makes what has come, in memory that the link's `room` gave, packet i; asked in order.
  virtual void keep(int64_t i, const Packet& packet) = 0;
};

// A link holds what simulate() of schedule lets it hold, so that the streams' budget suffices: a
// sender waits while `capacity` boxes are not taken, and a receiver holds one that it has not
// taken, from its first packet on. One is enough: between two receives a stage trains a whole turn,
// in which the next box has the time to come. (What MPI sends eagerly, a few kilobytes, may be let
// go before anybody has taken it.)
class StreamLink {
 public:
  using MakeBox = std::function<std::shared_ptr<StreamBox>()>;

  // `rank`, of at least two stages, outlives it. `room` gives memory for a packet that comes.
  StreamLink(MeshRank& rank, std::function<Packet()> room, int capacity);

  // Moves everything on as far as it goes without waiting.
  void pump();

  // Whether another box may be sent. Once it said yes it stays so until something is sent.
  bool has_room() const;
  void send(std::shared_ptr<StreamBox> box);
  bool all_sent() const { return outgoing_.empty() && sending_.empty(); }

  // What is to be taken next: a box of `packets`, as the other side sends it, which `make` makes,
  // empty, when the first of them is here. Nothing is let in that is not expected.
  // REQUIRES: what was expected before is taken.
  void expect(int64_t packets, MakeBox make);
  bool has_arrived() const { return expected_ && expected_->here == expected_->packets; }
  // REQUIRES: has_arrived().
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
  struct Expected {
    int64_t packets;
    MakeBox make;
    std::shared_ptr<StreamBox> box = nullptr;  // from the first packet on
    int64_t here = 0;                          // packets
  };

  static bool is_full(const std::deque<Moving>& under_way);
  // Both say whether anything moved.
  bool pump_sends();
  bool pump_receives();
  // Up to `wanted` at a time, as far as messages have come.
  void start_receives(int64_t wanted);

  MeshRank& rank_;
  const std::function<Packet()> room_;
  const int capacity_;
  std::deque<Outgoing> outgoing_;  // of which packets are still to be begun
  std::deque<Moving> sending_;
  std::deque<int64_t> ends_;  // of boxes that have not wholly gone: counted in packets of all boxes
  int64_t given_ = 0;         // packets of all boxes sent
  int64_t begun_ = 0;         // of them, those whose way has begun
  int64_t gone_ = 0;          // of them, those that are through
  int64_t whole_ = 0;         // packets of boxes that have wholly gone
  std::optional<Expected> expected_;
  Packet empty_;  // memory for the next packet
  std::deque<Moving> receiving_;
  int64_t received_ = 0;  // packets whose way has begun here
};

}  // namespace bitmill
