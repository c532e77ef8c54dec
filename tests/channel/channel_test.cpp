// The contract of channels, ranks as threads: both forms, on communicators that carry a message at
// once, and on ones that wait for its receiver. And what only one of these shows.

#include "channel/channel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "channel/agreed_form.hpp"
#include "channel/channel_contract.hpp"
#include "channel/direct_mover.hpp"
#include "channel/host_form.hpp"
#include "comm/thread_communicator.hpp"
#include "comm/waiting_communicator.hpp"

namespace bitmill {
namespace {

using channel_contract::letter;
using channel_contract::received;
using channel_contract::Rule;
using channel_contract::rules;
using channel_contract::Side;

enum class FormKind { host, agreed };

struct Setting {
  const char* name;
  FormKind form;
  bool waits;  // every message, for its receiver
};

const std::array<Setting, 4> settings = {{{"Host", FormKind::host, false},
                                          {"WaitingHost", FormKind::host, true},
                                          {"Agreed", FormKind::agreed, false},
                                          {"WaitingAgreed", FormKind::agreed, true}}};

// What the ranks of a test share.
struct Shared {
  Traffic traffic;
  Ledger ledger;
};

// Collective.
void on_channel(Communicator& world, const Setting& setting, Shared& shared,
                const std::function<void(const Side&)>& body) {
  std::unique_ptr<Communicator> waiting;
  if (setting.waits) waiting = std::make_unique<WaitingCommunicator>(world, shared.traffic);
  Communicator& comm = waiting ? *waiting : world;
  const auto words = comm.split(0), data = comm.split(0);
  std::unique_ptr<Form> form;
  if (setting.form == FormKind::host) {
    form = std::make_unique<HostForm>(*data);
  } else {
    form =
        std::make_unique<AgreedForm>(*words, std::make_unique<DirectMover>(*data, &shared.ledger));
  }
  Channel channel(std::move(form));
  body({comm, channel});
  comm.barrier();  // a rank that left could not be asked for messages
}

void run_on_channels(int ranks, const Setting& setting, Shared& shared,
                     const std::function<void(const Side&)>& body) {
  run_ranks(ranks, [&](Communicator& world) { on_channel(world, setting, shared, body); });
}

class ChannelContract : public testing::TestWithParam<std::tuple<Setting, int, Rule>> {};

TEST_P(ChannelContract, IsKept) {
  const auto& [setting, ranks, rule] = GetParam();
  Shared shared;
  EXPECT_NO_THROW(run_on_channels(ranks, setting, shared, rule.body));
}

INSTANTIATE_TEST_SUITE_P(, ChannelContract,
                         testing::Combine(testing::ValuesIn(settings), testing::Values(2, 3, 4),
                                          testing::ValuesIn(rules)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) +
                                  std::get<2>(test.param).name + "With" +
                                  std::to_string(std::get<1>(test.param));
                         });

constexpr Setting waiting_host = {"", FormKind::host, true};
constexpr Setting waiting_agreed = {"", FormKind::agreed, true};

// Tensors of `values` that rank 0 may send before rank 1 accepts any.
int sent_while_there_is_place(const Setting& setting, int64_t values) {
  Shared shared;
  int sent = 0;
  run_on_channels(2, setting, shared, [&](const Side& side) {
    const at::Tensor memory = at::zeros({values});
    if (side.comm.rank() == 0) {
      for (; side.channel.has_place(memory.nbytes(), 1); ++sent) side.channel.start_send(memory, 1);
      EXPECT_FALSE(side.channel.quiet());
    }
    side.comm.barrier();
    if (side.comm.rank() == 1) {
      for (int i = 0; i < sent; ++i) side.channel.receive(memory, 0);
    }
    side.channel.flush();
    EXPECT_TRUE(side.channel.has_place(memory.nbytes(), side.after()));
  });
  return sent;
}

TEST(ChannelLimit, ThereIsPlaceForAsManyAsFit16MiBButForTwoTo16) {
  for (const Setting& setting : {waiting_host, waiting_agreed}) {
    EXPECT_EQ(sent_while_there_is_place(setting, (8 << 20) / 4), 2);
    EXPECT_EQ(sent_while_there_is_place(setting, (17 << 20) / 4), 2);
    EXPECT_EQ(sent_while_there_is_place(setting, (4 << 20) / 4), 4);
    EXPECT_EQ(sent_while_there_is_place(setting, (4 << 20) / 4 + 1), 3);
    EXPECT_EQ(sent_while_there_is_place(setting, 5), 16);
    EXPECT_EQ(sent_while_there_is_place(setting, 0), 16);
  }
}

TEST(ChannelLimit, TheNumberThatMayBeUnderWayIsKnownBeforehand) {
  for (const int64_t values : {0, 5, 1 << 18, 1 << 20, (1 << 20) + 1, 1 << 21, 5 << 20}) {
    EXPECT_EQ(Channel::most_under_way(static_cast<size_t>(values) * 4),
              sent_while_there_is_place(waiting_host, values))
        << values;
  }
}

TEST(ChannelLimit, ASenderThatWaitsForPlaceIsNeverFurtherAhead) {
  for (const Setting& setting : {waiting_host, waiting_agreed}) {
    Shared shared;
    constexpr int count = 60;
    run_on_channels(2, setting, shared, [&](const Side& side) {
      for (int i = 0; i < count; ++i) {
        if (side.comm.rank() == 0) {
          side.channel.wait_for_place(20, 1);
          side.channel.start_send(letter(i, 1, 5), 1);
        } else {
          if (i % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(30));
          EXPECT_TRUE(channel_contract::is_letter(received(side.channel, 0, 5), i, 1));
        }
      }
      side.channel.flush();
    });
    // For every tensor that is offered the other form says a word, too.
    EXPECT_LE(shared.traffic.most_kept, setting.form == FormKind::host ? 16 : 3 * 16);
    EXPECT_GE(shared.traffic.most_kept, 16);
  }
}

// Though everything is sent at once.
TEST(ChannelLimit, AReceiverAcceptsNoMoreThanMayBeUnderWay) {
  constexpr int64_t values = (8 << 20) / 4;
  Shared shared;
  run_on_channels(2, waiting_agreed, shared, [&](const Side& side) {
    if (side.comm.rank() == 0) {
      for (int i = 0; i < 7; ++i) side.channel.start_send(letter(i, 1, values), 1);
    }
    side.comm.barrier();
    std::vector<std::unique_ptr<Transfer>> coming;
    while (side.comm.rank() == 1 && coming.size() < 7) {
      auto transfer = side.channel.start_receive(at::empty({values}), 0);
      if (transfer) coming.push_back(std::move(transfer));
    }
    side.channel.flush();
  });
  EXPECT_EQ(shared.ledger.pair(0, 1).receives, 7);
  EXPECT_LE(shared.ledger.pair(0, 1).most_under_way, 2);
}

TEST(ChannelLimit, WhatIsThroughMakesPlaceInEitherDirection) {
  Shared shared;
  run_on_channels(2, waiting_host, shared, [&](const Side& side) {
    const int peer = side.after();
    constexpr int64_t values = (8 << 20) / 4;
    const auto free = [&] { return side.channel.has_place(static_cast<size_t>(values) * 4, peer); };
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(free());
      side.channel.start_send(letter(i, peer, values), peer);
    }
    EXPECT_FALSE(free());
    side.comm.barrier();
    received(side.channel, peer, values);
    side.comm.barrier();
    EXPECT_TRUE(free());
    received(side.channel, peer, values);
    side.channel.flush();
  });
}

// As where every rank accepts before it sends: nobody's receive stands in the way of its send.
TEST(AgreedForm, NothingIsSentBeforeItsReceiverSaidGo) {
  Shared shared;
  run_on_channels(2, waiting_agreed, shared, [&](const Side& side) {
    Ledger::Pair& pair = shared.ledger.pair(0, 1);
    std::unique_ptr<Transfer> sending, coming;
    const at::Tensor room = at::empty({9});
    if (side.comm.rank() == 0) {
      sending = side.channel.start_send(letter(0, 1, 9), 1);
      for (int i = 0; i < 10; ++i) EXPECT_FALSE(sending->done());
    }
    side.comm.barrier();
    EXPECT_EQ(pair.sends, 0);
    side.comm.barrier();
    if (side.comm.rank() == 1) {
      while (!coming) coming = side.channel.start_receive(room, 0);
      EXPECT_FALSE(coming->done());
    }
    side.comm.barrier();
    EXPECT_EQ(pair.receives, 1);
    EXPECT_EQ(pair.sends, 0) << "nobody called on the sender's side";
    side.comm.barrier();
    if (side.comm.rank() == 0) side.channel.quiet();
    side.comm.barrier();
    EXPECT_EQ(pair.sends, 1);
    side.channel.flush();
    EXPECT_TRUE(side.comm.rank() == 0 || channel_contract::is_letter(room, 0, 1));
  });
}

// A receiver's "go" is a message too: its communicator may end when flush() has returned.
TEST(AgreedForm, FlushWaitsUntilEveryWordIsThrough) {
  Shared shared;
  run_on_channels(2, waiting_agreed, shared, [&](const Side& side) {
    if (side.comm.rank() == 1) {
      const at::Tensor room = at::empty({9});
      side.comm.barrier();
      while (!side.channel.start_receive(room, 0)) {
      }
      EXPECT_FALSE(side.channel.quiet());
    } else {
      side.channel.start_send(letter(0, 1, 9), 1);
      side.comm.barrier();
    }
    side.channel.flush();
  });
  EXPECT_EQ(shared.traffic.sent, 3) << "ready, go, and the tensor";
  EXPECT_EQ(shared.traffic.taken, 3);
}

// Rank 0 has room for more than rank 1 sends.
TEST(ChannelExchange, EntriesOfTwoSizesAreRefusedWithBoth) {
  for (const Setting& setting : settings) {
    Shared shared;
    const auto exchange = [](const Side& side) {
      std::vector<at::Tensor> to = {at::zeros({2}), at::zeros({2})}, from = to;
      if (side.comm.rank() == 0) from[1] = at::zeros({3});
      side.channel.exchange(to, from);
    };
    try {
      run_on_channels(2, setting, shared, exchange);
      ADD_FAILURE() << setting.name << " took it";
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("rank 1 sent 8 bytes where 12 were expected"));
    }
  }
}

}  // namespace
}  // namespace bitmill
