#pragma once
// Carries streams between neighbouring stages, from replica to replica and sample by sample, while
// the rank computes. What can move, moves inside pump().

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {

// What is sent as a whole and taken as a whole: `count()` samples. All samples of a link have the
// same size.
class StreamBox {
 public:
  virtual ~StreamBox() = default;
  virtual int64_t count() const = 0;
  // Sample i, contiguous. The link keeps the box until its last sample has been sent.
  virtual at::Tensor read(int64_t i) = 0;
  // Stores sample i, which has come in memory from the link's `room`. Called in the order of i.
  virtual void keep(int64_t i, const at::Tensor& sample) = 0;
};

// A link holds no more boxes than simulate() of schedule assumes, so that the streams' budget is
// enough. A sender waits while `capacity` boxes are not taken. A receiver holds at most one box
// that is not taken, counted from its first sample on. One is enough: between two receives a stage
// trains a whole turn, which is time enough for the next box to come. (MPI sends a few kilobytes at
// once. Such samples may count as sent before anybody has taken them.)
class StreamLink {
 public:
  using MakeBox = std::function<std::shared_ptr<StreamBox>()>;

  // `rank`, of at least two stages, outlives the link, and nobody else uses its streams()
  // meanwhile. `room` returns memory for one sample that will come.
  StreamLink(MeshRank& rank, std::function<at::Tensor()> room, int capacity);

  // Moves everything on as far as possible without waiting.
  void pump();

  // Whether another box may be sent. After true it stays true until a box is sent.
  bool has_room() const;
  void send(std::shared_ptr<StreamBox> box);
  // Whether everything has gone, as far as this side can know.
  bool all_sent();

  // Says what is taken next: a box of `samples` samples, as many as the other side sends. `make`
  // makes the box, empty, when the first of them is here. Samples that are not expected are not
  // accepted. REQUIRES: the box that was expected before is taken.
  void expect(int64_t samples, MakeBox make);
  bool has_arrived() const { return expected_ && expected_->here == expected_->samples; }
  // REQUIRES: has_arrived().
  std::shared_ptr<StreamBox> take();

  // For a stop in the middle: waits until every sample whose transfer has begun has moved, on this
  // rank and on its neighbours, who make the same call. Nothing can be sent afterwards. Returns the
  // boxes that are whole on this side: those of which not every sample had gone, and those that
  // came and were not taken. So the boxes of both sides together are all that were sent and not
  // taken; one that was under way at the end may be on both. `expect_next` calls expect() for the
  // box behind the expected one: of small samples, MPI may have sent some of it already.
  std::vector<std::shared_ptr<StreamBox>> leave(const std::function<void()>& expect_next);

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

  // Both return whether anything moved.
  bool pump_sends();
  bool pump_receives();
  bool count_gone();
  bool begin_sends();
  // Starts to receive samples that were offered, until `wanted` of them are under way.
  void start_receives(int64_t wanted);
  // Puts a sample that came into the expected box. Where that box is whole already, it is moved to
  // `boxes`, and the one behind it is expected.
  void keep_on_leaving(const at::Tensor& sample, const std::function<void()>& expect_next,
                       std::vector<std::shared_ptr<StreamBox>>& boxes);
  // How many samples the previous stage has begun to send. Waits; all ranks of the ring call it at
  // once.
  int64_t begun_before();

  MeshRank& rank_;
  const std::function<at::Tensor()> room_;
  const size_t sample_bytes_;
  const int capacity_;
  std::deque<Outgoing> outgoing_;                  // boxes of which a part has not gone yet
  std::deque<std::unique_ptr<Transfer>> sending_;  // samples of those boxes, in order
  int64_t begun_ = 0;                              // samples of all boxes whose sending has begun
  bool one_has_gone_ = false;                      // a whole box
  std::optional<Expected> expected_;
  at::Tensor empty_;  // memory for the next sample
  std::deque<Incoming> receiving_;
  int64_t received_ = 0;  // samples whose receiving has begun
};

}  // namespace bitmill
