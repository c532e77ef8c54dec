#pragma once
// Streams on their way between neighbouring stages, replica to replica, sample by sample, while
// the rank computes: what can move, moves inside pump().

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "comm/communicator.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// What is sent at one time and taken at one time: `count()` samples, all of the size that every
// sample of the link has.
class StreamBox {
 public:
  virtual ~StreamBox() = default;
  virtual int64_t count() const = 0;
  // Contiguous. The link keeps the box until the last of its samples is through.
  virtual at::Tensor read(int64_t i) = 0;
  // Makes what has come, in memory that the link's `room` gave, sample i; asked in order.
  virtual void keep(int64_t i, const at::Tensor& sample) = 0;
};

// A link holds what simulate() of schedule lets it hold, so that the streams' budget suffices: a
// sender waits while `capacity` boxes are not taken, and a receiver holds one that it has not
// taken, from its first sample on. One is enough: between two receives a stage trains a whole turn,
// in which the next box has the time to come. (What MPI sends eagerly, a few kilobytes, may be let
// go before anybody has taken it.)
class StreamLink {
 public:
  using MakeBox = std::function<std::shared_ptr<StreamBox>()>;

  // `rank`, of at least two stages, outlives it; nobody else uses its streams meanwhile. `room`
  // gives memory for a sample that comes.
  StreamLink(MeshRank& rank, std::function<at::Tensor()> room, int capacity);

  // Moves everything on as far as it goes without waiting.
  void pump();

  // Whether another box may be sent. Once it said yes it stays so until something is sent.
  bool has_room() const;
  void send(std::shared_ptr<StreamBox> box);
  // Whether everything is through, on this side of it.
  bool all_sent();

  // What is to be taken next: a box of `samples`, as the other side sends it, which `make` makes,
  // empty, when the first of them is here. Nothing is let in that is not expected.
  // REQUIRES: what was expected before is taken.
  void expect(int64_t samples, MakeBox make);
  bool has_arrived() const { return expected_ && expected_->here == expected_->samples; }
  // REQUIRES: has_arrived().
  std::shared_ptr<StreamBox> take();

  // When the mesh stops in the middle: waits until every sample that was begun is through, here
  // and on the neighbours, who call it too. Nothing can be sent afterwards.
  void leave();

 private:
  struct Outgoing {
    std::shared_ptr<StreamBox> box;
    int64_t samples;
    int64_t begun = 0;
    int64_t gone = 0;
  };
  struct Incoming {
    at::Tensor sample;
    std::unique_ptr<Transfer> transfer;
  };
  struct Expected {
    int64_t samples;
    MakeBox make;
    std::shared_ptr<StreamBox> box = nullptr;  // from the first sample on
    int64_t here = 0;                          // samples
  };

  // Both say whether anything moved.
  bool pump_sends();
  bool pump_receives();
  bool count_gone();
  bool begin_sends();
  // Up to `wanted` at a time, as far as they have come.
  void start_receives(int64_t wanted);
  // Samples that the stage before has begun to send. Waits; all ranks of the ring ask at once.
  int64_t begun_before();

  MeshRank& rank_;
  const std::function<at::Tensor()> room_;
  const size_t sample_bytes_;
  const int capacity_;
  std::deque<Outgoing> outgoing_;                  // boxes that have not wholly gone
  std::deque<std::unique_ptr<Transfer>> sending_;  // samples of them, in order
  int64_t begun_ = 0;                              // samples of all boxes
  bool one_has_gone_ = false;                      // a whole box
  std::optional<Expected> expected_;
  at::Tensor empty_;  // memory for the next sample
  std::deque<Incoming> receiving_;
  int64_t received_ = 0;  // samples whose way has begun here
};

}  // namespace bitmill
