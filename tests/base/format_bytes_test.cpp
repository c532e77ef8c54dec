#include "base/format_bytes.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

TEST(FormatBytes, WritesThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 bytes");
  EXPECT_EQ(format_bytes(999), "999 bytes");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(4'352'111), "4.35 MB");
  EXPECT_EQ(format_bytes(13'476'000'000), "13.5 GB");
  EXPECT_EQ(format_bytes(999'600), "1.00 MB");
  EXPECT_EQ(format_bytes(269'000'000), "269 MB");
  EXPECT_EQ(format_bytes(2'000'000'000'000'000'000), "2000 PB");
}

}  // namespace
}  // namespace bitmill
