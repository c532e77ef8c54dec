#include "pipeline/job/quantize_forecast.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

// Streams of 100 bytes, planned to lie on the GPU; the host holds 40, of them a copy of 10.
QuantizeForecast forecast() {
  QuantizeForecast one;
  one.device_block_bytes = 1000;
  one.device_arriving_bytes = 5;
  one.stream_bytes = 100;
  one.peak_memory_bytes = 40;
  one.save_beside = true;
  one.copy_bytes = 10;
  return one;
}

TEST(QuantizeForecast, StreamsThatTheGpuHasNoRoomForLieOnTheHost) {
  QuantizeOptions options;
  EXPECT_EQ(host_bytes_with(forecast(), options, 1100), 40);
  EXPECT_EQ(host_bytes_with(forecast(), options, 1065), 40 + 40);
  EXPECT_EQ(device_bytes_with(forecast(), 1065), 1065);
  options.stream_memory = 30;
  EXPECT_EQ(host_bytes_with(forecast(), options, 1065), 40 + 30);
}

TEST(QuantizeForecast, TheCopyOfAStateGoesFirstWhereTheyExceedTheLimitOfTheHost) {
  QuantizeOptions options;
  EXPECT_TRUE(saves_beside_with(forecast(), options, 1065)) << "no limit";
  options.memory_limit = 80;
  EXPECT_TRUE(saves_beside_with(forecast(), options, 1065));
  EXPECT_EQ(host_bytes_with(forecast(), options, 1065), 80);
  options.memory_limit = 79;
  EXPECT_FALSE(saves_beside_with(forecast(), options, 1065));
  EXPECT_EQ(host_bytes_with(forecast(), options, 1065), 70);
  EXPECT_TRUE(saves_beside_with(forecast(), options, 1100)) << "the GPU has room for all";
  options.memory_limit = 60;
  EXPECT_EQ(host_bytes_with(forecast(), options, 1065), 70) << "too much, for check_ranks()";
  QuantizeForecast waits = forecast();
  waits.save_beside = false;
  waits.copy_bytes = 0;
  EXPECT_FALSE(saves_beside_with(waits, QuantizeOptions(), 1100));
}

TEST(QuantizeForecast, PlacesForSamplesOnTheirWayAreNeededWhereStreamsSpill) {
  QuantizeForecast one;
  EXPECT_EQ(least_device_bytes(one, 0), 0) << "no GPU";
  one.device_block_bytes = 100;
  one.device_arriving_bytes = 30;
  one.stream_bytes = 50;
  EXPECT_EQ(least_device_bytes(one, 150), 100) << "all streams fit beside the block";
  EXPECT_EQ(least_device_bytes(one, 149), 130);
  EXPECT_EQ(least_device_bytes(one, 129), 130) << "more than there is: it is refused";
  EXPECT_LE(device_bytes_with(one, 149), 149);
}

}  // namespace
}  // namespace bitmill
