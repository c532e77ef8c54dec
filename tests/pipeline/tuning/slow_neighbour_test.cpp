// What a stage of `tune` keeps for a neighbour that is slower: no more than the forecast counts.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "channel/channel.hpp"
#include "comm/waiting_communicator.hpp"
#include "method/tuned_block.hpp"
#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/tuning_walk.hpp"
#include "schedule/micro_batches.hpp"

namespace bitmill {
namespace {

constexpr int64_t walk_tokens = 9, walk_hidden = 12;
constexpr int64_t walk_windows = 60;  // windows, more than any limit below

using CarryOut =
    std::function<void(TuningWalk&, const TrainedStage&, const SampleShare&, const WalkEnds&)>;

class SlowNeighbour : public Tune {
 protected:
  // Two stages, of which `slow` comes late to its walk. Returns the most tensors that were sent and
  // not taken at one time.
  int64_t most_kept(int slow, const CarryOut& carry) {
    Traffic traffic;
    traffic.patience_s = 60;
    on_ranks(2, 1, [&](Communicator& threads, ThreadPool& pool) {
      WaitingCommunicator world(threads, traffic);
      walk_on(world, pool, slow, carry);
      threads.barrier();  // a rank that left could not be asked for messages
    });
    EXPECT_EQ(traffic.sent, traffic.taken);
    return traffic.most_kept;
  }

 private:
  void walk_on(Communicator& world, ThreadPool& pool, int slow, const CarryOut& carry) {
    MeshRank rank({2, 1}, world);
    const SourceModel model(*files_, folder_ / "packed"), teacher(*files_, folder_ / "model");
    const Rotary rotary = make_rotary(model.config(), walk_tokens);
    const auto device = cpu_device(pool);
    TrainedStage stage(blocks_of_stage(2, 2, rank.stage()), [&](int64_t block) {
      return std::make_unique<TunedBlock>(model, block, 1, rotary, *device);
    });
    stage.take(at::ones({stage.layout().size()}));
    const auto backend = cpu_backend();
    StreamBudget budget(*files_, INT64_MAX, folder_ / ("scratch" + std::to_string(rank.stage())));
    std::optional<NextTokenDivergence> divergence;
    if (rank.stage() == 1) divergence.emplace(model, teacher, pool);
    TuningWalk walk({rank, stage, model.config(), rotary, *backend, budget, *device, walk_tokens});
    SampleStream ends(budget, walk_windows, walk_tokens, walk_hidden);
    for (int64_t i = 0; i < walk_windows; ++i) ends.store(i, at::ones({walk_tokens, walk_hidden}));
    world.barrier();
    if (rank.stage() == slow) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    const bool first = rank.stage() == 0;
    carry(walk, stage, SampleShare(walk_windows, walk_windows, 1, 0),
          DivergenceEnds(first ? &ends : nullptr, first ? nullptr : &ends,
                         divergence ? &*divergence : nullptr, 0, *device));
  }
};

// A sample is small here, so as many as a channel ever lets be under way.
TEST_F(SlowNeighbour, TakesNoMoreMemoryForWindowsThatAreHeldOutThanThereIsPlaceFor) {
  const int64_t most = most_kept(1, [](TuningWalk& walk, const TrainedStage& stage,
                                       const SampleShare& share, const WalkEnds& ends) {
    const at::Tensor losses = at::zeros({walk_windows});
    walk.measure(share, ends, at::ones({stage.layout().size()}), losses);
  });
  EXPECT_EQ(most, Channel::most_under_way(walk_tokens * walk_hidden * 4));
  EXPECT_LT(most, walk_windows);
  EXPECT_LE(most * walk_tokens * walk_hidden * 4,
            sent_ahead_bytes(2, 4, walk_tokens * walk_hidden * 4));
}

TEST_F(SlowNeighbour, TakesNoMoreMemoryInATrainingStepThanIsCounted) {
  for (const int slow : {0, 1}) {
    const int64_t most = most_kept(slow, [](TuningWalk& walk, const TrainedStage&,
                                            const SampleShare& share, const WalkEnds& ends) {
      const at::Tensor losses = at::zeros({walk_windows});
      walk.train(share, 0, ends, losses);
    });
    EXPECT_GE(most, 2) << slow;
    EXPECT_LE(most * 4 * walk_tokens * walk_hidden,
              sent_ahead_bytes(2, walk_windows, walk_tokens * walk_hidden * 4))
        << slow;
  }
}

TEST(SentAhead, IsNothingOnOneStageAndNeverMoreThanTheSchedulesAllow) {
  EXPECT_EQ(sent_ahead_bytes(1, 64, 1000), 0);
  // 64 samples on 4 stages: micro-batches of 8, of which the second stage may keep 3 + 4.
  EXPECT_EQ(sent_ahead_bytes(4, 64, 1000), 7 * 8 * 1000);
  // One sample of a batch: measuring may keep more, as many as the channel lets be under way.
  EXPECT_EQ(sent_ahead_bytes(2, 1, 1000), 16 * 1000);
  EXPECT_EQ(sent_ahead_bytes(2, 1, 64 << 20), int64_t{2} * (64 << 20));
}

}  // namespace
}  // namespace bitmill
