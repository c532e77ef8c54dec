#pragma once
// What one rank can say to the others. Knows bytes and ranks, nothing of models.
//
// Contract, kept by every implementation:
//  - all ranks make the same collective calls in the same order;
//  - messages between a pair arrive in the order sent; there are no tags;
//  - a receive names the exact size that was sent, or throws; the message is then gone;
//  - a rank does not send to itself;
//  - a message under way is finished before its communicator ends, and those of one pair and
//    direction are finished in the order in which they were started;
//  - calls return when the buffer may be reused;
//  - buffers may be of any size, also above 2 GiB, also empty;
//  - a failure throws CommError saying which call failed, and between whom.
// One thread of a rank speaks at a time.
//
// There is no all-reduce, on purpose: its order of summation would be the library's, and so would
// the last bits of the result. Sums are made by us, in an order we fix.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace bitmill {

// A message under way. Its buffer must stay as it is until done() said yes.
class Transfer {
 public:
  virtual ~Transfer() = default;
  // Moves it on as far as it goes without waiting. Not to be asked again after it said yes.
  virtual bool done() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;  // in [0, size())
  virtual int size() const = 0;

  virtual void barrier() = 0;
  virtual void broadcast(std::span<std::byte> data, int root) = 0;
  // to[p] goes to rank p; from[p] is filled with what rank p put at to[rank()]. Both have size()
  // entries of any lengths, which sender and receiver know alike; entry rank() is copied.
  virtual void exchange(std::span<const std::span<const std::byte>> to,
                        std::span<const std::span<std::byte>> from) = 0;
  virtual void send(std::span<const std::byte> data, int to) = 0;
  virtual void receive(std::span<std::byte> data, int from) = 0;

  // As send(), without waiting. Large messages move only inside calls of both ranks.
  virtual std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) = 0;
  // As receive(), without waiting: null while nothing has come from there.
  virtual std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) = 0;

  // Collective. The ranks that gave the same color, in the order of their ranks here, as a world of
  // their own: its messages and those of this one do not meet. Lives shorter than this one.
  virtual std::unique_ptr<Communicator> split(int color) = 0;
};

// Collective. Every rank's `mine`, which may differ in length, in rank order, on every rank.
std::vector<std::vector<std::byte>> gather_everywhere(Communicator& comm,
                                                      std::span<const std::byte> mine);

// Collective. In place: slice p of `data` is [bounds[p], bounds[p + 1]) bytes, valid on rank p
// before and on every rank after. bounds has size() + 1 ascending entries.
void all_gather_slices(Communicator& comm, std::span<std::byte> data,
                       std::span<const size_t> bounds);

}  // namespace bitmill
