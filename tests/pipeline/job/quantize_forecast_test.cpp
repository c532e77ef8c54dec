#include "pipeline/job/quantize_forecast.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

TEST(QuantizeForecast, PlacesForSamplesOnTheirWayAreNeededWhereStreamsSpill) {
  QuantizeForecast forecast;
  EXPECT_EQ(least_device_bytes(forecast, 0), 0) << "no GPU";
  forecast.device_block_bytes = 100;
  forecast.device_arriving_bytes = 30;
  forecast.stream_bytes = 50;
  EXPECT_EQ(least_device_bytes(forecast, 150), 100) << "all streams fit beside the block";
  EXPECT_EQ(least_device_bytes(forecast, 149), 130);
  EXPECT_EQ(least_device_bytes(forecast, 129), 130) << "more than there is: it is refused";
  EXPECT_LE(device_bytes_with(forecast, 149), 149);
}

}  // namespace
}  // namespace bitmill
