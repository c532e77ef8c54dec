#pragma once
// What every Communicator must do. All implementations run the same code: self, threads, and MPI
// under mpirun. Plain code without a test framework, because under mpirun a rank that fails must
// end the job: a broken rule throws ContractBroken.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/contract_letters.hpp"

namespace bitmill::comm_contract {

inline void ranks_are_numbered(Communicator& comm) {
  require(comm, comm.size() >= 1, "a world has a rank");
  require(comm, 0 <= comm.rank() && comm.rank() < comm.size(), "rank in [0, size)");
  const auto rank = static_cast<std::byte>(comm.rank());
  const auto all = gather_everywhere(comm, std::span(&rank, 1));
  for (size_t p = 0; p < all.size(); ++p) {
    require(comm, all[p].size() == 1 && all[p][0] == static_cast<std::byte>(p),
            "every number is one rank's");
  }
}

inline void barriers_pass(Communicator& comm) {
  for (int i = 0; i < 10; ++i) comm.barrier();
}

inline void broadcast_reaches_all_from_every_root(Communicator& comm) {
  for (int root = 0; root < comm.size(); ++root) {
    for (const size_t bytes : {0, 1, 1000, 100003}) {
      const int author = comm.rank() == root ? root : 99;
      auto data = letter(author, 0, bytes);
      comm.broadcast(data, root);
      require(comm, is_letter(data, root, 0), fmt::format("{} bytes of root {}", bytes, root));
    }
  }
}

// Bytes of an entry: unequal on purpose, 0 for some pairs, and not symmetric.
inline size_t exchange_bytes(int from, int to) {
  return static_cast<size_t>((from * 5 + to * 3) % 4) * 1013 + static_cast<size_t>(to % 2);
}

inline void exchange_swaps_unequal_entries(Communicator& comm) {
  const auto ranks = static_cast<size_t>(comm.size());
  for (int round = 0; round < 3; ++round) {
    std::vector<std::vector<std::byte>> out(ranks), in(ranks);
    std::vector<std::span<const std::byte>> to(ranks);
    std::vector<std::span<std::byte>> from(ranks);
    for (int p = 0; p < comm.size(); ++p) {
      const auto i = static_cast<size_t>(p);
      out[i] = letter(comm.rank() + round, p, exchange_bytes(comm.rank(), p));
      in[i].resize(exchange_bytes(p, comm.rank()));
      to[i] = out[i];
      from[i] = in[i];
    }
    comm.exchange(to, from);
    for (int p = 0; p < comm.size(); ++p) {
      require(comm, is_letter(in[static_cast<size_t>(p)], p + round, comm.rank()),
              fmt::format("exchange brings what rank {} put there", p));
    }
  }
}

inline void exchange_of_nothing_passes(Communicator& comm) {
  const auto ranks = static_cast<size_t>(comm.size());
  const std::vector<std::span<const std::byte>> to(ranks);
  const std::vector<std::span<std::byte>> from(ranks);
  comm.exchange(to, from);
}

inline void messages_keep_their_order(Communicator& comm) {
  const std::array<size_t, 4> sizes = {3, 0, 70001, 1};
  for (int from = 0; from < comm.size(); ++from) {
    for (int to = 0; to < comm.size(); ++to) {
      if (from == to) continue;
      for (const size_t bytes : sizes) {
        if (comm.rank() == from) comm.send(letter(from, to + static_cast<int>(bytes), bytes), to);
        if (comm.rank() != to) continue;
        std::vector<std::byte> data(bytes);
        comm.receive(data, from);
        require(comm, is_letter(data, from, to + static_cast<int>(bytes)),
                fmt::format("the message of {} bytes from rank {} comes in its turn", bytes, from));
      }
    }
  }
}

// Large messages in both directions at once between the first and the last rank: an exchange() made
// of blocking sends would deadlock.
inline void large_messages_pass(Communicator& comm) {
  constexpr size_t bytes = (size_t{65} << 20) + 12345;
  const int last = comm.size() - 1;
  const bool first_or_last = comm.rank() == 0 || comm.rank() == last;
  if (comm.size() > 1 && first_or_last) {
    const int peer = last - comm.rank();
    const auto out = letter(comm.rank(), peer, bytes);
    std::vector<std::byte> in(bytes);
    std::vector<std::span<const std::byte>> to(static_cast<size_t>(comm.size()));
    std::vector<std::span<std::byte>> from(static_cast<size_t>(comm.size()));
    to[static_cast<size_t>(peer)] = out;
    from[static_cast<size_t>(peer)] = in;
    comm.exchange(to, from);
    require(comm, is_letter(in, peer, comm.rank()), "a large exchange is whole");
    if (comm.rank() == 0) comm.send(out, last);
    if (comm.rank() == last) comm.receive(in, 0);
    require(comm, is_letter(in, peer, comm.rank()), "a large message is whole");
  } else {
    exchange_of_nothing_passes(comm);
  }
}

inline void gather_brings_unequal_lengths_in_rank_order(Communicator& comm) {
  const auto bytes_of = [](int rank) { return static_cast<size_t>(rank % 3) * 777; };
  const auto all = gather_everywhere(comm, letter(comm.rank(), 0, bytes_of(comm.rank())));
  require(comm, all.size() == static_cast<size_t>(comm.size()), "one entry per rank");
  for (int p = 0; p < comm.size(); ++p) {
    const auto& entry = all[static_cast<size_t>(p)];
    require(comm, entry.size() == bytes_of(p) && is_letter(entry, p, 0),
            fmt::format("entry {} is what rank {} gave", p, p));
  }
}

inline void slices_are_gathered_in_place(Communicator& comm) {
  for (const size_t slice : {0, 1, 4096}) {
    // Slice p has p * slice bytes: the first is always empty. The last 3 bytes belong to nobody.
    std::vector<size_t> bounds = {0};
    for (int p = 0; p < comm.size(); ++p) {
      bounds.push_back(bounds.back() + static_cast<size_t>(p) * slice);
    }
    const auto whole = letter(1, 2, bounds.back());
    std::vector<std::byte> data(bounds.back() + 3, std::byte{0xEE});
    const size_t begin = bounds[static_cast<size_t>(comm.rank())];
    const size_t end = bounds[static_cast<size_t>(comm.rank()) + 1];
    for (size_t i = begin; i < end; ++i) data[i] = whole[i];
    all_gather_slices(comm, data, bounds);
    require(comm, std::equal(whole.begin(), whole.end(), data.begin()), "all slices arrive");
    require(comm, data.back() == std::byte{0xEE}, "bytes outside the slices are left alone");
  }
}

inline void wrong_arguments_are_refused(Communicator& comm) {
  std::array<std::byte, 4> data = {};
  for (const int nobody : {-1, comm.size()}) {
    comm_error(comm, "a broadcast of nobody", [&] { comm.broadcast(data, nobody); });
    comm_error(comm, "a message to nobody", [&] { comm.send(data, nobody); });
    comm_error(comm, "a message from nobody", [&] { comm.receive(data, nobody); });
  }
  comm_error(comm, "a message to itself", [&] { comm.send(data, comm.rank()); });
  comm_error(comm, "a message from itself", [&] { comm.receive(data, comm.rank()); });

  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<std::span<const std::byte>> to(ranks);
  std::vector<std::span<std::byte>> from(ranks + 1);
  comm_error(comm, "an entry too many", [&] { comm.exchange(to, from); });
  from.pop_back();
  to[static_cast<size_t>(comm.rank())] = data;
  const std::string words =
      comm_error(comm, "own entries of two sizes", [&] { comm.exchange(to, from); });
  require(comm, words.find("4 bytes for itself into 0") != std::string::npos,
          "both sizes: " + words);

  std::vector<size_t> bounds(ranks + 1, 2);
  bounds.back() = 5;
  comm_error(comm, "a slice beyond the end", [&] { all_gather_slices(comm, data, bounds); });
  bounds.front() = 6;
  comm_error(comm, "descending bounds", [&] { all_gather_slices(comm, data, bounds); });
  comm_error(comm, "no bounds", [&] { all_gather_slices(comm, data, {}); });
}

// From rank 0 to rank 1. The message is shorter or longer than expected, empty, or expected to be
// empty. Afterwards this message is gone, and the next one arrives.
inline void message_of_another_size_is_refused(Communicator& comm) {
  if (comm.size() == 1) return;
  const std::vector<std::pair<size_t, size_t>> cases = {{10, 12}, {12, 10}, {0, 8}, {8, 0}};
  for (const auto& [sent, expected] : cases) {
    if (comm.rank() == 0) comm.send(letter(0, 1, sent), 1);
    if (comm.rank() != 1) continue;
    std::vector<std::byte> data(expected);
    const std::string words = comm_error(comm, fmt::format("{} bytes for {}", sent, expected),
                                         [&] { comm.receive(data, 0); });
    require(comm, words.find(fmt::format("{} ", expected)) != std::string::npos,
            "the error says what was expected: " + words);
    require(comm, words.find("rank 1 of") != std::string::npos, "who expected it: " + words);
    require(comm, words.find("rank 0") != std::string::npos, "and who sent: " + words);
  }
  if (comm.rank() == 0) comm.send(letter(0, 1, 5), 1);
  if (comm.rank() != 1) return;
  std::vector<std::byte> next(5);
  comm.receive(next, 0);
  require(comm, is_letter(next, 0, 1), "the next message arrives");
}

// Everybody sends 3 bytes; rank 0 expects 5 from the last rank.
inline void exchange_of_another_size_is_refused(Communicator& comm) {
  if (comm.size() == 1) return;
  const auto ranks = static_cast<size_t>(comm.size());
  const std::vector<std::byte> out(3, std::byte{1});
  std::vector<std::vector<std::byte>> in(ranks, std::vector<std::byte>(3));
  if (comm.rank() == 0) in.back().resize(5);
  const std::vector<std::span<const std::byte>> to(ranks, out);
  const std::vector<std::span<std::byte>> from(in.begin(), in.end());
  if (comm.rank() != 0) return comm.exchange(to, from);
  const std::string words = comm_error(comm, "3 bytes for 5", [&] { comm.exchange(to, from); });
  require(comm, words.find("sent 3 bytes where 5 were expected") != std::string::npos, words);
}

// Receives a message with start_receive() and waits until it is finished.
inline void receive_started(Communicator& comm, std::span<std::byte> data, int from) {
  std::unique_ptr<Transfer> transfer;
  while (!transfer) transfer = comm.start_receive(data, from);
  while (!transfer->done()) {
  }
}

// Around a ring: all ranks send before any rank receives. MPI treats these sizes in different ways.
inline void started_messages_arrive_in_order(Communicator& comm) {
  if (comm.size() == 1) return;
  const int after = (comm.rank() + 1) % comm.size();
  const int before = (comm.rank() + comm.size() - 1) % comm.size();
  constexpr std::array<size_t, 5> sizes = {1, 0, 70001, 3 << 20, 17};
  std::vector<std::vector<std::byte>> letters;
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (const size_t bytes : sizes) {
    letters.push_back(letter(comm.rank(), after + static_cast<int>(bytes), bytes));
    transfers.push_back(comm.start_send(letters.back(), after));
  }
  for (const size_t bytes : sizes) {
    std::vector<std::byte> data(bytes);
    receive_started(comm, data, before);
    require(comm, is_letter(data, before, comm.rank() + static_cast<int>(bytes)),
            fmt::format("the started message of {} bytes comes in its turn", bytes));
  }
  for (const auto& transfer : transfers) {
    while (!transfer->done()) {
    }
  }
}

inline void nothing_comes_unless_it_was_sent(Communicator& comm) {
  std::array<std::byte, 1> data = {};
  for (int peer = 0; peer < comm.size(); ++peer) {
    if (peer == comm.rank()) continue;
    require(comm, !comm.start_receive(data, peer), "there is no message");
  }
  comm.barrier();
}

// Splits by even and odd ranks, and splits the part again. Messages of a part stay in it, and a
// part of a part has its own rank numbers.
inline void parts_are_worlds_of_their_own(Communicator& comm) {
  const auto part = comm.split(comm.rank() % 2);
  require(comm, part->size() == (comm.size() + 1 - comm.rank() % 2) / 2, "half of the ranks");
  require(comm, part->rank() == comm.rank() / 2, "in the order of the whole");
  const auto again = part->split(0);
  require(comm, again->size() == part->size() && again->rank() == part->rank(), "all of the part");
  const auto mine = static_cast<std::byte>(comm.rank());
  for (Communicator* one : {part.get(), again.get()}) {
    const auto all = gather_everywhere(*one, std::span(&mine, 1));
    for (size_t p = 0; p < all.size(); ++p) {
      require(comm,
              all[p][0] == static_cast<std::byte>(2 * p + static_cast<size_t>(comm.rank()) % 2),
              "the part holds every other rank");
    }
    one->barrier();
  }
  if (part->size() < 2) return;
  // The first message is sent in the part, but the message in the part's part is received first.
  if (part->rank() == 0) {
    part->send(letter(1, 1, 3), 1);
    again->send(letter(2, 2, 5), 1);
  } else if (part->rank() == 1) {
    std::vector<std::byte> inner(5), outer(3);
    again->receive(inner, 0);
    part->receive(outer, 0);
    require(comm, is_letter(inner, 2, 2) && is_letter(outer, 1, 1), "messages do not meet");
  }
}

struct Rule {
  const char* name;
  void (*body)(Communicator&);
};

inline constexpr std::array<Rule, 15> rules = {{
    {"RanksAreNumbered", ranks_are_numbered},
    {"BarriersPass", barriers_pass},
    {"BroadcastReachesAllFromEveryRoot", broadcast_reaches_all_from_every_root},
    {"ExchangeSwapsUnequalEntries", exchange_swaps_unequal_entries},
    {"ExchangeOfNothingPasses", exchange_of_nothing_passes},
    {"MessagesKeepTheirOrder", messages_keep_their_order},
    {"LargeMessagesPass", large_messages_pass},
    {"GatherBringsUnequalLengthsInRankOrder", gather_brings_unequal_lengths_in_rank_order},
    {"SlicesAreGatheredInPlace", slices_are_gathered_in_place},
    {"WrongArgumentsAreRefused", wrong_arguments_are_refused},
    {"MessageOfAnotherSizeIsRefused", message_of_another_size_is_refused},
    {"ExchangeOfAnotherSizeIsRefused", exchange_of_another_size_is_refused},
    {"StartedMessagesArriveInOrder", started_messages_arrive_in_order},
    {"NothingComesUnlessItWasSent", nothing_comes_unless_it_was_sent},
    {"PartsAreWorldsOfTheirOwn", parts_are_worlds_of_their_own},
}};

}  // namespace bitmill::comm_contract
