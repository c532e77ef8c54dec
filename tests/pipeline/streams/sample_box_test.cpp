#include "pipeline/streams/sample_box.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "pipeline/streams/stream_link.hpp"
#include "pipeline/two_stages.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

constexpr int64_t box_len = 3, hidden = 2, sample_bytes = box_len * hidden * 4;

at::Tensor numbered(int64_t number) {
  return at::full({box_len, hidden}, static_cast<double>(number), at::kFloat);
}

SampleBox::Streams two_streams(StreamBudget& budget) {
  return {std::make_shared<SampleStream>(budget, 3, box_len, hidden),
          std::make_shared<SampleStream>(budget, 3, box_len, hidden)};
}

// All of it on disk: what a box takes of the budget shows in the scratch file.
TEST(SampleBox, TheStreamsOfATurnTravelTogetherAndTakeRoomWhenTheyCome) {
  const TempFolder folder;
  on_two_stages([&](const Stage& stage) {
    const auto files = posix_files();
    StreamBudget budget(*files, 0, folder / std::to_string(stage.rank.stage()));
    const SampleStream like(budget, 0, box_len, hidden);
    StreamLink link(
        stage.rank, [&] { return like.room(); }, 2);
    if (!stage.sends()) {
      link.expect(6, [&] { return std::make_shared<SampleBox>(1, 0, two_streams(budget)); });
      link.pump();
      EXPECT_EQ(budget.scratch_bytes(), 0);
    }
    stage.meet();
    if (stage.sends()) {
      const SampleBox::Streams streams = two_streams(budget);
      for (int64_t i = 0; i < 6; ++i) streams[i / 3]->store(i % 3, numbered(i));
      link.send(std::make_shared<SampleBox>(1, 0, streams));
    }
    stage.meet();
    link.pump();
    if (!stage.sends()) {
      EXPECT_EQ(budget.scratch_bytes(), 6 * sample_bytes);
      ASSERT_TRUE(link.has_arrived());
      const auto box = link.take();
      const auto& streams = static_cast<const SampleBox&>(*box).streams();
      for (int64_t i = 0; i < 6; ++i) {
        EXPECT_TRUE(at::equal(streams[i / 3]->load(i % 3), numbered(i))) << i;
      }
    }
    stage.meet();
    link.pump();
    EXPECT_TRUE(link.all_sent());
  });
}

// A sample in memory cannot be let go without its stream, so the budget may not say that it was.
TEST(SampleBox, StreamsStayInTheBudgetUntilTheLastSampleIsThrough) {
  const TempFolder folder;
  on_two_stages([&](const Stage& stage) {
    const auto files = posix_files();
    StreamBudget budget(*files, 6 * sample_bytes, folder / std::to_string(stage.rank.stage()));
    const SampleStream like(budget, 0, box_len, hidden);
    StreamLink link(
        stage.rank, [&] { return like.room(); }, 2);
    if (stage.sends()) {
      link.send(std::make_shared<SampleBox>(1, 0, two_streams(budget)));
      link.pump();
      EXPECT_EQ(stage.traffic.sent, 6);
      EXPECT_FALSE(budget.take(sample_bytes));
    }
    stage.meet();
    if (!stage.sends()) {
      link.expect(6, [&] { return std::make_shared<SampleBox>(1, 0, two_streams(budget)); });
      link.pump();
    }
    stage.meet();
    link.pump();
    if (stage.sends()) {
      EXPECT_TRUE(budget.take(6 * sample_bytes));
      budget.give_back(6 * sample_bytes);
    }
  });
}

}  // namespace
}  // namespace bitmill
