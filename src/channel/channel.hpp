#pragma once
// Tensors from rank to rank: the one way by which activations and gradients travel. Order, limit
// and lifetimes are kept here, once; how bytes move is a Form (form.hpp). HostForm moves them
// through a Communicator. For what must not be begun unless the other side begins it too (NCCL)
// AgreedForm says "ready" and "go" before a Mover moves anything.
//
// Contract, whatever the form:
//  - a tensor is contiguous and of any dtype and size, also empty. Sender and receiver know both
//    alike: where the numbers of bytes differ, the receiver throws CommError;
//  - tensors of one pair and direction arrive in the order in which they were sent;
//  - the channel keeps a tensor, or the room for one, until it is through. Nobody writes to either
//    before, nor reads the room;
//  - what is sent moves when the receiver has accepted it, which start_receive() does. (MPI may
//    carry a few kilobytes ahead.) So a receiver that is late, or stops, is in nobody's way;
//  - from another rank a few tensors are accepted at a time: as many as fit 16 MiB, but 2 to 16.
//    Whoever has more to send than it wants in memory asks has_place(), which keeps to the same
//    limit; start_send() itself takes everything;
//  - receive(), exchange() and flush() wait, and everything else moves on meanwhile. Nothing else
//    waits. Tensors move only inside calls of both ranks, whichever calls they are;
//  - all that is sent is received, and flush() has returned on both sides, before the channel ends;
//  - a failure throws CommError, and the channel is of no use any more: an error ends the job;
//  - one thread of a rank speaks at a time.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "channel/form.hpp"

namespace bitmill {

class Channel {
 public:
  explicit Channel(std::unique_ptr<Form> form) : form_(std::move(form)) {}
  Channel(const Channel&) = delete;  // what start_send() and start_receive() gave points here
  Channel& operator=(const Channel&) = delete;

  int rank() const { return form_->rank(); }
  int size() const { return form_->size(); }

  // The transfer says when the tensor is through; nobody need ask it, and it may be dropped.
  std::unique_ptr<Transfer> start_send(const at::Tensor& value, int to);
  // Whether a tensor of so many bytes, sent now, would be within the limit of what is under way to
  // that rank. Once it said yes it stays so until something is sent there.
  bool has_place(size_t bytes, int to);
  // The same of the next tensor that comes from there. Null while nothing is offered, or as much as
  // may be is under way; `room` is the caller's then.
  std::unique_ptr<Transfer> start_receive(const at::Tensor& room, int from);
  // Waits until the next tensor from there is in `room`.
  void receive(const at::Tensor& room, int from);

  // Collective. to[p] goes to rank p; from[p] is filled with what rank p put at to[rank()]. Both
  // have size() entries of any lengths, undefined ones for nothing; entry rank() is copied.
  // REQUIRES: on every rank flush() after what was sent before.
  void exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from);

  // Moves everything on as far as it goes without waiting; true when nothing is under way.
  bool quiet();
  // Waits until everything that was sent is through, and everything that was accepted here.
  void flush();

 private:
  struct Moving {
    at::Tensor tensor;
    std::unique_ptr<Transfer> transfer;
    bool through = false;
  };
  // One direction between this rank and another.
  struct Lane {
    std::deque<std::shared_ptr<Moving>> under_way;  // in the order begun
    size_t bytes = 0;                               // of these

    bool has_place(size_t more) const;
    // Lets those go that are through.
    void move_on();
  };
  class Ticket;

  void move_on();
  std::unique_ptr<Transfer> begin(Lane& lane, const at::Tensor& tensor,
                                  std::unique_ptr<Transfer> transfer);
  void check(const char* call, const at::Tensor& tensor, int peer) const;

  const std::unique_ptr<Form> form_;
  std::map<int, Lane> sends_, receives_;  // by the other rank
};

}  // namespace bitmill
