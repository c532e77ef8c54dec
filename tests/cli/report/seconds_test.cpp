#include <gtest/gtest.h>

#include "base/error.hpp"
#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

TEST(Seconds, PlainNumbersAndUnitsAreRead) {
  EXPECT_EQ(parse_seconds("0"), 0);
  EXPECT_EQ(parse_seconds("90"), 90);
  EXPECT_EQ(parse_seconds("90s"), 90);
  EXPECT_EQ(parse_seconds("15m"), 900);
  EXPECT_EQ(parse_seconds("2h"), 7200);
}

TEST(Seconds, TimesAreReadAsSlurmWritesThem) {
  EXPECT_EQ(parse_seconds("03:04"), 184);
  EXPECT_EQ(parse_seconds("120:00"), 7200);
  EXPECT_EQ(parse_seconds("02:03:04"), 7384);
  EXPECT_EQ(parse_seconds("1-02:03:04"), 93784);
  EXPECT_EQ(parse_seconds("10-00:00:00"), 864000);
}

TEST(Seconds, AnythingElseIsRefusedWithTheWaysToWriteIt) {
  for (const char* text :
       {"",           "s",         "-1",       "1.5",        "1 h",     "2d",        "1:60",
        "1:2:60",     "1:60:00",   ":30",      "30:",        "1:2:3:4", "1-2",       "1-2:3",
        "1-25:00:00", "-02:03:04", "1--1:0:0", "1000000000", "0x10",    "UNLIMITED", "90S"}) {
    EXPECT_THROW(parse_seconds(text), UsageError) << text;
  }
  try {
    parse_seconds("soon");
    FAIL() << "it is no time";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(),
                 "\"soon\" is not a time; write it as 90, 90s, 15m, 2h, 02:03:04 or 1-02:03:04 "
                 "(days-hours:minutes:seconds)");
  }
}

}  // namespace
}  // namespace bitmill
