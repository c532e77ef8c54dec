// Boxes between two stages, ranks as threads: when they are let in, and how much moves at a time.

#include "pipeline/streams/stream_link.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/stopwatch.hpp"
#include "comm/thread_communicator.hpp"
#include "pipeline/two_stages.hpp"

namespace bitmill {
namespace {

constexpr int64_t small = 16;
constexpr int64_t large = int64_t{8} << 20;  // two of these may be under way at a time

at::Tensor memory(int64_t bytes) { return at::zeros({bytes}, at::kByte); }

// Samples of which only the first byte says anything.
class ByteBox final : public StreamBox {
 public:
  explicit ByteBox(std::vector<int> values, int64_t sample_bytes = small)
      : values_(std::move(values)), sample_bytes_(sample_bytes) {}

  const std::vector<int>& values() const { return values_; }

  int64_t count() const override { return std::ssize(values_); }
  at::Tensor read(int64_t i) override {
    at::Tensor sample = memory(sample_bytes_);
    sample[0] = values_[static_cast<size_t>(i)];
    return sample;
  }
  void keep(int64_t i, const at::Tensor& sample) override {
    values_[static_cast<size_t>(i)] = sample[0].item<int>();
  }

 private:
  std::vector<int> values_;
  const int64_t sample_bytes_;
};

std::shared_ptr<ByteBox> box_of(std::vector<int> values, int64_t sample_bytes = small) {
  return std::make_shared<ByteBox>(std::move(values), sample_bytes);
}

std::vector<int> taken_from(StreamLink& link) {
  const auto box = link.take();
  return static_cast<const ByteBox&>(*box).values();
}

at::Tensor small_room() { return memory(small); }

TEST(StreamLink, ABoxIsMadeWithItsFirstSampleAndNoneIsMadeAfterTheLast) {
  on_two_stages([](const Stage& stage) {
    StreamLink link(stage.rank, small_room, 2);
    int made = 0;
    if (!stage.sends()) {
      link.expect(3, [&] {
        ++made;
        return box_of({0, 0, 0});
      });
      link.pump();
      EXPECT_EQ(made, 0);
      EXPECT_FALSE(link.has_arrived());
    }
    stage.meet();
    if (stage.sends()) link.send(box_of({1, 2, 3}));
    stage.meet();
    link.pump();
    if (!stage.sends()) {
      EXPECT_EQ(made, 1);
      ASSERT_TRUE(link.has_arrived());
      EXPECT_EQ(taken_from(link), (std::vector<int>{1, 2, 3}));
      link.pump();
      EXPECT_EQ(made, 1);
    }
  });
}

TEST(StreamLink, NoOtherBoxIsLetInBeforeTheOneThatIsExpectedIsTaken) {
  on_two_stages([](const Stage& stage) {
    StreamLink link(stage.rank, small_room, 2);
    if (stage.sends()) {
      link.send(box_of({1, 2, 3}));
      link.send(box_of({4, 5}));
    }
    stage.meet();
    if (stage.sends()) return;
    link.expect(3, [] { return box_of({0, 0, 0}); });
    link.pump();
    link.pump();
    EXPECT_EQ(stage.traffic.taken, 3);
    EXPECT_EQ(taken_from(link), (std::vector<int>{1, 2, 3}));
    link.pump();
    EXPECT_EQ(stage.traffic.taken, 3);
    link.expect(2, [] { return box_of({0, 0}); });
    link.pump();
    EXPECT_EQ(taken_from(link), (std::vector<int>{4, 5}));
  });
}

TEST(StreamLink, ABoxOfNoSamplesIsThereWithoutAMessage) {
  on_two_stages([](const Stage& stage) {
    StreamLink link(stage.rank, small_room, 2);
    link.send(box_of({}));
    EXPECT_TRUE(link.all_sent());
    link.expect(0, [] { return box_of({}); });
    EXPECT_TRUE(link.has_arrived());
    EXPECT_EQ(taken_from(link), std::vector<int>());
    EXPECT_EQ(stage.traffic.sent, 0);
  });
}

// Where a message is through as soon as it is sent, and has come as soon as it is asked for.
TEST(StreamLink, OneCallMovesAllLargeSamplesThatCanMove) {
  run_ranks(2, [](Communicator& world) {
    MeshRank rank({2, 1}, world);
    StreamLink link(
        rank, [] { return memory(large); }, 2);
    if (rank.stage() == 0) {
      link.send(box_of({1, 2, 3, 4, 5}, large));
      link.pump();
      EXPECT_TRUE(link.all_sent());
    }
    world.barrier();
    if (rank.stage() == 1) {
      link.expect(5, [] { return box_of({0, 0, 0, 0, 0}); });
      link.pump();
      ASSERT_TRUE(link.has_arrived());
      EXPECT_EQ(taken_from(link), (std::vector<int>{1, 2, 3, 4, 5}));
    }
    world.barrier();
  });
}

TEST(StreamLink, NoMoreThanTwoLargeSamplesAreUnderWay) {
  on_two_stages([](const Stage& stage) {
    StreamLink link(
        stage.rank, [] { return memory(large); }, 2);
    if (stage.sends()) link.send(box_of({1, 2, 3, 4, 5}, large));
    if (!stage.sends()) link.expect(5, [] { return box_of({0, 0, 0, 0, 0}); });
    for (const int64_t sent : {2, 4, 5}) {
      if (stage.sends()) link.pump();
      stage.meet();
      EXPECT_EQ(stage.traffic.sent, sent);
      if (!stage.sends()) link.pump();
      EXPECT_EQ(stage.sends() || link.has_arrived(), stage.sends() || sent == 5);
      stage.meet();
    }
  });
}

// The first has gone as a whole, but the other side may still have it; that the second moves tells
// that it was taken.
// A box may be larger than the memory that its samples come in.
TEST(StreamLink, ASampleThatIsThereIsKeptBeforeMoreOfThemTakeRoom) {
  run_ranks(2, [&](Communicator& world) {  // here messages move at once
    MeshRank rank({2, 1}, world);
    int64_t rooms = 0, kept = 0, most = 0;
    StreamLink link(
        rank,
        [&] {
          most = std::max(most, ++rooms - kept);
          return memory(small);
        },
        2);
    class CountedBox final : public StreamBox {
     public:
      explicit CountedBox(int64_t& kept) : kept_(kept) {}
      int64_t count() const override { return 100; }
      at::Tensor read(int64_t) override { return memory(small); }
      void keep(int64_t, const at::Tensor&) override { ++kept_; }

     private:
      int64_t& kept_;
    };
    if (rank.stage() == 0) link.send(std::make_shared<CountedBox>(kept));
    for (int round = 0; round < 20; ++round) {
      world.barrier();
      if (rank.stage() == 1 && round == 0) {
        link.expect(100, [&] { return std::make_shared<CountedBox>(kept); });
      }
      link.pump();
    }
    if (rank.stage() == 0) return;
    EXPECT_TRUE(link.has_arrived());
    EXPECT_EQ(kept, 100);
    EXPECT_LE(most, 17);  // the channel lets 16 be under way, and one room waits
  });
}

TEST(StreamLink, ASendWaitsWhileTwoBoxesAreNotTaken) {
  on_two_stages([](const Stage& stage) {
    StreamLink link(stage.rank, small_room, 2);
    const auto expect_one = [&] { link.expect(2, [] { return box_of({0, 0}); }); };
    const auto room_after_pump = [&] {
      link.pump();
      return link.has_room();
    };
    if (stage.sends()) {
      EXPECT_TRUE(link.has_room());
      link.send(box_of({1, 2}));
      EXPECT_TRUE(link.has_room());
      link.send(box_of({3, 4}));
      EXPECT_FALSE(room_after_pump());
    }
    stage.meet();
    if (!stage.sends()) {
      expect_one();
      link.pump();
    }
    stage.meet();
    if (stage.sends()) {
      EXPECT_FALSE(room_after_pump());
    }
    stage.meet();
    if (!stage.sends()) {
      EXPECT_EQ(taken_from(link), (std::vector<int>{1, 2}));
      expect_one();
      link.pump();
    }
    stage.meet();
    if (stage.sends()) {
      EXPECT_TRUE(room_after_pump());
      EXPECT_TRUE(link.all_sent());
    }
  });
}

TEST(StreamLink, LeavingSleepsWhileItWaits) {
  on_two_stages([](const Stage& stage) {
    stage.traffic.refusals = 100;
    StreamLink link(stage.rank, small_room, 2);
    stage.meet();
    if (stage.sends()) link.send(box_of({1, 2, 3}));
    const Stopwatch watch;
    link.leave([] {});
    EXPECT_TRUE(link.all_sent());
    if (stage.sends()) {
      EXPECT_GT(watch.seconds(), 0.02);
    }
  });
}

std::vector<std::vector<int>> values_of(const std::vector<std::shared_ptr<StreamBox>>& boxes) {
  std::vector<std::vector<int>> all;
  for (const auto& box : boxes) all.push_back(static_cast<const ByteBox&>(*box).values());
  return all;
}

// Messages that are through at once: of the second box, which nobody expects yet, too.
TEST(StreamLink, WhatCameBeforeLeavingIsLeftToTheReceiver) {
  run_ranks(2, [](Communicator& world) {
    MeshRank rank({2, 1}, world);
    StreamLink link(rank, small_room, 3);
    if (rank.stage() == 0) {
      link.send(box_of({1, 2, 3}));
      link.send(box_of({4, 5}));
      link.pump();
      EXPECT_TRUE(link.all_sent());
    } else {
      link.expect(3, [] { return box_of({0, 0, 0}); });
    }
    world.barrier();
    const auto left = values_of(link.leave([&] { link.expect(2, [] { return box_of({0, 0}); }); }));
    world.barrier();
    if (rank.stage() == 0) {
      EXPECT_TRUE(left.empty());
    } else {
      EXPECT_EQ(left, (std::vector<std::vector<int>>{{1, 2, 3}, {4, 5}}));
    }
  });
}

// Only two large samples can be under way: the box has not gone when the ranks leave.
TEST(StreamLink, WhatHasNotGoneBeforeLeavingIsLeftToTheSender) {
  on_two_stages([](const Stage& stage) {
    StreamLink link(
        stage.rank, [] { return memory(large); }, 2);
    if (stage.sends()) link.send(box_of({1, 2, 3}, large));
    if (!stage.sends()) link.expect(3, [] { return box_of({0, 0, 0}, large); });
    stage.meet();
    const auto left = values_of(link.leave([] {}));
    if (stage.sends()) {
      EXPECT_EQ(left, (std::vector<std::vector<int>>{{1, 2, 3}}));
    } else {
      EXPECT_TRUE(left.empty());
    }
  });
}

}  // namespace
}  // namespace bitmill
