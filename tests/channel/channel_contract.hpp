#pragma once
// What every Channel must do, whatever its form: the same code for ranks as threads and for mpirun.
// Plain code without a test framework, like communicator_contract.hpp: a broken rule throws
// ContractBroken.

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/pause.hpp"
#include "channel/channel.hpp"
#include "comm/contract_letters.hpp"

namespace bitmill::channel_contract {

using comm_contract::comm_error;
using comm_contract::require;

// What a rule gets. It runs on all ranks. The channel is new and connects all ranks of `comm`, but
// sends nothing over `comm`.
struct Side {
  Communicator& comm;
  Channel& channel;

  // Where the channel takes tensors.
  at::Tensor letter(int from, int to, int64_t values, at::ScalarType type = at::kFloat) const;
  at::Tensor room(int64_t values, at::ScalarType type = at::kFloat) const {
    return at::full({values}, 99, at::TensorOptions(type).device(channel.place()));
  }

  int after() const { return (comm.rank() + 1) % comm.size(); }
  int before() const { return (comm.rank() + comm.size() - 1) % comm.size(); }
};

// Values that depend on the sender, the receiver, and their place in the tensor.
inline at::Tensor letter(int from, int to, int64_t values, at::ScalarType type = at::kFloat) {
  return at::arange(values, at::kInt).mul_(7).add_(from * 31 + to * 17).remainder_(251).to(type);
}

inline at::Tensor Side::letter(int from, int to, int64_t values, at::ScalarType type) const {
  return channel_contract::letter(from, to, values, type).to(channel.place());
}

inline bool is_letter(const at::Tensor& tensor, int from, int to) {
  return at::equal(tensor.cpu(), letter(from, to, tensor.numel(), tensor.scalar_type()));
}

inline at::Tensor received(Channel& channel, int from, int64_t values,
                           at::ScalarType type = at::kFloat) {
  at::Tensor room = at::full({values}, 99, at::TensorOptions(type).device(channel.place()));
  channel.receive(room, from);
  return room;
}

// Around a ring: all ranks send before any rank receives. MPI treats these sizes in different ways.
inline void tensors_of_any_size_arrive_in_order(const Side& side) {
  const std::array<int64_t, 8> sizes = {1, 0, 70001, 3 << 20, 17, 0, 33, 1 << 20};
  const int me = side.comm.rank();
  for (const int64_t values : sizes) {
    side.channel.start_send(side.letter(me, side.after() + static_cast<int>(values % 100), values),
                            side.after());
  }
  for (const int64_t values : sizes) {
    require(side.comm,
            is_letter(received(side.channel, side.before(), values), side.before(),
                      me + static_cast<int>(values % 100)),
            fmt::format("{} values come whole and in their turn", values));
  }
  side.channel.flush();
}

inline void tensors_of_any_dtype_arrive(const Side& side) {
  for (const at::ScalarType type :
       {at::kFloat, at::kHalf, at::kBFloat16, at::kByte, at::kInt, at::kDouble}) {
    side.channel.start_send(side.letter(side.comm.rank(), side.after(), 1001, type), side.after());
    require(side.comm,
            is_letter(received(side.channel, side.before(), 1001, type), side.before(),
                      side.comm.rank()),
            fmt::format("values of {} bytes", at::elementSize(type)));
  }
  side.channel.flush();
}

// Each rank sends to all others, more tensors than are accepted at a time. No rank receives before
// all have sent.
inline void nobody_waits_for_another_while_all_send(const Side& side) {
  constexpr int rounds = 18;
  constexpr int64_t values = 20001;
  const int me = side.comm.rank();
  for (int round = 0; round < rounds; ++round) {
    for (int p = 0; p < side.comm.size(); ++p) {
      if (p != me) side.channel.start_send(side.letter(me + round, p, values), p);
    }
  }
  side.comm.barrier();
  for (int round = 0; round < rounds; ++round) {
    for (int p = side.comm.size() - 1; p >= 0; --p) {
      if (p == me) continue;
      require(side.comm, is_letter(received(side.channel, p, values), p + round, me),
              fmt::format("tensor {} from rank {}", round, p));
    }
  }
  side.channel.flush();
}

inline void nothing_comes_unless_it_was_sent(const Side& side) {
  for (int p = 0; p < side.comm.size(); ++p) {
    if (p == side.comm.rank()) continue;
    require(side.comm, !side.channel.start_receive(side.room(3), p), "there is no tensor");
  }
  side.comm.barrier();
  require(side.comm, side.channel.quiet(), "and nothing is under way");
  side.comm.barrier();
}

// Both receives are started before done() of either one is called.
inline void started_receives_fill_their_own_rooms(const Side& side) {
  const int me = side.comm.rank();
  const auto first = side.channel.start_send(side.letter(me, 1, 300001), side.after());
  const auto second = side.channel.start_send(side.letter(me, 2, 5), side.after());
  std::array<at::Tensor, 2> rooms = {side.room(300001), side.room(5)};
  std::array<std::unique_ptr<Transfer>, 2> coming;
  for (size_t i = 0; i < rooms.size(); ++i) {
    while (!coming[i]) coming[i] = side.channel.start_receive(rooms[i], side.before());
  }
  for (Pause pause; !coming[1]->done() || !second->done(); pause()) {
  }
  require(side.comm, coming[0]->done() && first->done(), "what was begun first is through first");
  require(side.comm, is_letter(rooms[0], side.before(), 1), "the first tensor");
  require(side.comm, is_letter(rooms[1], side.before(), 2), "the second tensor");
  side.channel.flush();
}

// A rank that receives nothing for a while does not block the others, and loses nothing.
inline void a_late_receiver_gets_everything(const Side& side) {
  constexpr int count = 40;
  constexpr int64_t values = 20001;
  const int last = side.comm.size() - 1;
  if (side.comm.rank() == 0) {
    for (int i = 0; i < count; ++i) side.channel.start_send(side.letter(i, last, values), last);
  }
  side.comm.barrier();  // nobody has received anything
  if (side.comm.rank() == last) {
    for (int i = 0; i < count; ++i) {
      require(side.comm, is_letter(received(side.channel, 0, values), i, last), "each in its turn");
    }
  }
  side.channel.flush();
}

// The channel itself keeps the tensor, and only so long.
inline void a_tensor_is_kept_until_it_is_through(const Side& side) {
  const int me = side.comm.rank();
  at::Tensor value = side.letter(me, side.after(), 1 << 20);
  const at::Tensor seen = value;
  side.channel.start_send(value, side.after());
  value.reset();
  require(side.comm, is_letter(received(side.channel, side.before(), 1 << 20), side.before(), me),
          "it comes though nobody else holds it");
  side.channel.flush();
  require(side.comm, seen.use_count() == 1, "and is let go when it is through");
}

// The entries are unequal, not symmetric, and empty for some pairs. Several exchanges in a row.
inline void exchange_swaps_unequal_entries(const Side& side) {
  const auto values = [](int from, int to) {
    return static_cast<int64_t>((from * 5 + to * 3) % 4) * 1013 + to % 2;
  };
  const int me = side.comm.rank();
  for (int round = 0; round < 3; ++round) {
    std::vector<at::Tensor> to, from;
    for (int p = 0; p < side.comm.size(); ++p) {
      to.push_back(values(me, p) == 0 ? at::Tensor() : side.letter(me + round, p, values(me, p)));
      from.push_back(values(p, me) == 0 ? at::Tensor() : side.room(values(p, me)));
    }
    side.channel.exchange(to, from);
    for (int p = 0; p < side.comm.size(); ++p) {
      const at::Tensor& got = from[static_cast<size_t>(p)];
      require(side.comm, !got.defined() || is_letter(got, p + round, me),
              fmt::format("exchange brings what rank {} put there", p));
    }
  }
  const std::vector<at::Tensor> nothing(static_cast<size_t>(side.comm.size()));
  side.channel.exchange(nothing, nothing);
}

// Neither of the two receives anything that was sent with the other.
inline void exchange_and_tensors_take_turns(const Side& side) {
  const int me = side.comm.rank();
  for (int round = 0; round < 3; ++round) {
    side.channel.start_send(side.letter(me, round, 100 + round), side.after());
    require(side.comm,
            is_letter(received(side.channel, side.before(), 100 + round), side.before(), round),
            "a tensor before an exchange");
    side.channel.flush();
    std::vector<at::Tensor> to, from;
    for (int p = 0; p < side.comm.size(); ++p) {
      to.push_back(side.letter(me, p, 50));
      from.push_back(side.room(50));
    }
    side.channel.exchange(to, from);
    for (int p = 0; p < side.comm.size(); ++p) {
      require(side.comm, is_letter(from[static_cast<size_t>(p)], p, me), "an exchange after it");
    }
  }
}

inline void wrong_arguments_are_refused(const Side& side) {
  const at::Tensor value = side.room(4);
  for (const int nobody : {-1, side.comm.size(), side.comm.rank()}) {
    comm_error(side.comm, "a tensor to nobody", [&] { side.channel.start_send(value, nobody); });
    comm_error(side.comm, "a tensor from nobody",
               [&] { side.channel.start_receive(value, nobody); });
  }
  const auto ranks = static_cast<size_t>(side.comm.size());
  std::vector<at::Tensor> to(ranks), from(ranks + 1);
  comm_error(side.comm, "an entry too many", [&] { side.channel.exchange(to, from); });
  from.pop_back();
  to[static_cast<size_t>(side.comm.rank())] = value;
  const std::string words =
      comm_error(side.comm, "own entries of two sizes", [&] { side.channel.exchange(to, from); });
  require(side.comm, words.find("16 bytes for itself into 0") != std::string::npos,
          "both sizes: " + words);
}

// From rank 0 to rank 1. The channel cannot be used afterwards.
inline void a_tensor_of_another_size_is_refused(const Side& side) {
  if (side.comm.rank() == 0) side.channel.start_send(side.room(3), 1);
  if (side.comm.rank() == 1) {
    const std::string words =
        comm_error(side.comm, "12 bytes into 20", [&] { received(side.channel, 0, 5); });
    require(side.comm, words.find("sent 12 bytes where 20 were expected") != std::string::npos,
            "both sizes: " + words);
  }
  side.comm.barrier();
  if (side.comm.rank() == 0) side.channel.quiet();  // moves on what can still be sent
}

struct Rule {
  const char* name;
  void (*body)(const Side&);
};

inline constexpr std::array<Rule, 11> rules = {{
    {"TensorsOfAnySizeArriveInOrder", tensors_of_any_size_arrive_in_order},
    {"TensorsOfAnyDtypeArrive", tensors_of_any_dtype_arrive},
    {"NobodyWaitsForAnotherWhileAllSend", nobody_waits_for_another_while_all_send},
    {"NothingComesUnlessItWasSent", nothing_comes_unless_it_was_sent},
    {"StartedReceivesFillTheirOwnRooms", started_receives_fill_their_own_rooms},
    {"ALateReceiverGetsEverything", a_late_receiver_gets_everything},
    {"ATensorIsKeptUntilItIsThrough", a_tensor_is_kept_until_it_is_through},
    {"ExchangeSwapsUnequalEntries", exchange_swaps_unequal_entries},
    {"ExchangeAndTensorsTakeTurns", exchange_and_tensors_take_turns},
    {"WrongArgumentsAreRefused", wrong_arguments_are_refused},
    {"ATensorOfAnotherSizeIsRefused", a_tensor_of_another_size_is_refused},
}};

}  // namespace bitmill::channel_contract
