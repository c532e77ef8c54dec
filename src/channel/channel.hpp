#pragma once
// Sends tensors from rank to rank: the only way by which activations and gradients travel. Order,
// limit and lifetimes are kept here; a Form (form.hpp) moves the bytes. HostForm moves them through
// a Communicator. Some transports (NCCL) must not begin a transfer unless the other side begins it,
// too. For these AgreedForm says "ready" and "go" before a Mover moves anything. nccl.hpp makes the
// form by which tensors go from GPU to GPU.
//
// Contract of every form:
//  - a tensor is contiguous, of any dtype and size, also empty, and lies at place(). Sender and
//    receiver know dtype and size. Where the numbers of bytes differ, the receiver throws
//    CommError;
//  - on a GPU, a sent tensor is what work makes of it that was queued before; what was received
//    may be used at once by work that is queued after;
//  - tensors of one pair and direction arrive in the order in which they were sent;
//  - the channel holds a tensor that is sent, or the room for one that comes, until its transfer is
//    done. Until then nobody may write to either, nor read the room;
//  - a sent tensor moves when the receiver has accepted it with start_receive(). (MPI may send a
//    few kilobytes before that.) So a receiver that is late, or that stops, blocks nobody;
//  - from each other rank only a few tensors are accepted at a time: as many as fit 16 MiB, but at
//    least 2 and at most 16. A sender that does not want more than that in memory asks has_place(),
//    which has the same limit; start_send() itself takes every tensor;
//  - receive(), exchange(), flush() and wait_for_place() wait, and move on meanwhile what was
//    begun. No other call waits. A tensor moves only while both ranks are in calls, no matter
//    which calls;
//  - before the channel ends, all that was sent is received, and flush() has returned on both
//    sides;
//  - after a failure (CommError) the channel cannot be used any more: an error ends the job;
//  - only one thread of a rank uses the channel at a time.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "channel/form.hpp"

namespace bitmill {

class Channel {
 public:
  explicit Channel(std::unique_ptr<Form> form) : form_(std::move(form)) {}
  Channel(const Channel&) = delete;  // transfers that it returned point to it
  Channel& operator=(const Channel&) = delete;

  int rank() const { return form_->communicator().rank(); }
  int size() const { return form_->communicator().size(); }
  // Where tensors that travel lie: in the host's memory, or on this rank's GPU.
  at::Device place() const { return form_->place(); }

  // The transfer tells when the tensor has moved. Nobody has to ask it, and it may be destroyed
  // before.
  std::unique_ptr<Transfer> start_send(const at::Tensor& value, int to);
  // Whether a tensor of so many bytes, sent now, would stay within the limit of what is under way
  // to that rank. After true it stays true until something is sent to that rank.
  bool has_place(size_t bytes, int to);
  // Waits until has_place(). That rank must come to receive, whatever this one does: two ranks that
  // wait for place to each other wait for ever.
  void wait_for_place(size_t bytes, int to);
  // How many tensors of so many bytes has_place() lets be under way to a rank.
  static int64_t most_under_way(size_t bytes);
  // Starts to receive the next tensor from that rank, within the same limit. Returns null while
  // nothing is offered, or while the limit is reached; then the caller may use `room` again.
  std::unique_ptr<Transfer> start_receive(const at::Tensor& room, int from);
  // Waits until the next tensor from that rank is in `room`.
  void receive(const at::Tensor& room, int from);

  // Collective. to[p] goes to rank p; from[p] gets what rank p put at its to[rank()]. Both have
  // size() entries of any lengths; an undefined tensor stands for nothing. Entry rank() is copied.
  // REQUIRES: before, every rank has called flush() for what it sent.
  void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from);

  // Moves everything on as far as possible without waiting. True when nothing is under way.
  bool quiet();
  // Waits until everything that was sent or accepted here has moved.
  void flush();

 private:
  struct Moving {
    at::Tensor tensor;
    std::unique_ptr<Transfer> transfer;
    bool through = false;
  };
  // One direction between this rank and another.
  struct Lane {
    std::deque<std::shared_ptr<Moving>> under_way;  // in the order in which they were begun
    size_t bytes = 0;                               // of the tensors under way

    bool has_place(size_t more) const;
    // Releases the tensors whose transfers are done.
    void move_on();
  };
  class Ticket;

  void move_on();
  std::unique_ptr<Transfer> begin(Lane& lane, const at::Tensor& tensor,
                                  std::unique_ptr<Transfer> transfer);
  // What this rank waits for, in words, while something is under way.
  std::string what_is_under_way();
  void check(const char* call, const at::Tensor& tensor, int peer) const;

  std::map<int, Lane> sends_, receives_;  // by the other rank
  // Ends first: until then, a transfer that failed may use its tensor.
  const std::unique_ptr<Form> form_;
};

}  // namespace bitmill
