#pragma once
// What one rank can say to the others. Knows bytes and ranks, nothing of models.
//
// Contract, kept by every implementation:
//  - all ranks make the same collective calls in the same order;
//  - messages between a pair arrive in the order sent; there are no tags;
//  - a receive gives the exact size that was sent; with another size it throws, and the message is
//    lost;
//  - a rank does not send to itself;
//  - a started message is finished before its communicator ends; messages of one pair and direction
//    are finished in the order in which they were started;
//  - calls return when the buffer may be reused;
//  - buffers may be of any size, also above 2 GiB, also empty;
//  - a failure throws CommError saying which call failed, and between which ranks.
// Only one thread of a rank may call at a time.
//
// There is no all-reduce, on purpose: the library would choose the order of summation, and with it
// the last bits of the result. Our own code adds up, in an order that we fix.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace bitmill {

// A message that was started. Nobody may change or free its buffer before done() returned true.
class Transfer {
 public:
  virtual ~Transfer() = default;
  // Moves the message on as far as possible without waiting. True when it is finished. Do not call
  // it again after that.
  virtual bool done() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;  // in [0, size())
  virtual int size() const = 0;
  // The number under which people know `rank` of this communicator: its number in the whole job.
  // The two differ after a split(). Texts for people have job ranks. Any other `rank` is returned
  // as it is.
  virtual int job_rank(int rank) const = 0;

  virtual void barrier() = 0;
  virtual void broadcast(std::span<std::byte> data, int root) = 0;
  // Sends to[p] to rank p, and fills from[p] with what rank p has in its to[rank()]. Both have
  // size() entries. Their lengths are free, but sender and receiver must give the same one. The own
  // entry, at rank(), is copied.
  virtual void exchange(std::span<const std::span<const std::byte>> to,
                        std::span<const std::span<std::byte>> from) = 0;
  virtual void send(std::span<const std::byte> data, int to) = 0;
  virtual void receive(std::span<std::byte> data, int from) = 0;

  // As send(), without waiting. A large message moves only while both ranks are inside a call.
  virtual std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) = 0;
  // As receive(), without waiting: null while no message from that rank has come.
  virtual std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) = 0;

  // Collective. A communicator of the ranks that gave the same color, in the order of their ranks
  // here. Its messages are separate from those of this communicator, which must outlive it.
  virtual std::unique_ptr<Communicator> split(int color) = 0;

  // For whoever watches this rank; moves nothing. The rank does nothing but look, again and again,
  // whether others have sent or taken something: it waits for `what`, and says so before every
  // pause (Wait in wait.hpp). Empty: it does not wait any more.
  virtual void waits_for(std::string_view /*what*/) {}
};

// Collective. Returns, on every rank, the `mine` of all ranks in rank order. Lengths may differ.
std::vector<std::vector<std::byte>> gather_everywhere(Communicator& comm,
                                                      std::span<const std::byte> mine);

// Collective, in place. Slice p of `data` is the bytes [bounds[p], bounds[p + 1]). It is valid on
// rank p before the call, and on every rank after it. bounds has size() + 1 ascending entries.
void all_gather_slices(Communicator& comm, std::span<std::byte> data,
                       std::span<const size_t> bounds);

}  // namespace bitmill
