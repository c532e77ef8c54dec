// Sizes, times, suggestions, tables, lag expressions: the small text functions.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

TEST(ByteSizes, ReadsTheLettersOfTheGnuTools) {
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("512M"), 512 << 20);
  EXPECT_EQ(parse_bytes("5GB"), 5'000'000'000);
  EXPECT_EQ(parse_bytes("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(parse_bytes("2gib"), int64_t{2} << 30);
  EXPECT_EQ(parse_bytes("1.5 kB"), 1500);
  EXPECT_EQ(parse_bytes("1T"), int64_t{1} << 40);
  EXPECT_EQ(parse_bytes("7B"), 7);
}

TEST(ByteSizes, WhatIsNoSizeIsRefused) {
  for (const char* text :
       {"", "M", "-1M", "5X", "5GBB", "nan", "inf", "1e9", "9999999T", "5 G B"}) {
    EXPECT_THROW(parse_bytes(text), UsageError) << text;
  }
}

TEST(Durations, GrowFromSecondsToDays) {
  EXPECT_EQ(format_seconds(-1), "0 s");
  EXPECT_EQ(format_seconds(0.4214), "0.42 s");
  EXPECT_EQ(format_seconds(12.34), "12.3 s");
  EXPECT_EQ(format_seconds(59.99), "1 min 00 s");
  EXPECT_EQ(format_seconds(250), "4 min 10 s");
  EXPECT_EQ(format_seconds(3720), "1 h 02 min");
  EXPECT_EQ(format_seconds(86400 * 3 + 4 * 3600), "3 d 04 h");
}

TEST(Counts, AreGroupedByThousands) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_number_of("rank", 1), "1 rank");
  EXPECT_EQ(format_number_of("step", 1200), "1,200 steps");
}

TEST(Tables, NumbersAreAlignedRightAndLinesHaveNoBlanksAtTheEnd) {
  Table table({{"name", Table::Align::left}, {"n"}, {"", Table::Align::left}});
  table.add_row({"a", "1", ""});
  table.add_row({"long", "1,000", "!"});
  EXPECT_EQ(table.text(),
            "name      n\n"
            "a         1\n"
            "long  1,000  !\n");
}

TEST(Tables, WidthIsCountedInCharactersNotBytes) {
  EXPECT_EQ(display_width("a·b"), 3u);
  Table table({{"", Table::Align::left}, {""}});
  table.add_row({"·", "1"});
  table.add_row({"ab", "2"});
  EXPECT_EQ(table.text(), "·   1\nab  2\n");
}

TEST(Lag, IsANumberAllEpochsOrAFractionOfThem) {
  EXPECT_EQ(parse_lag("5", 20, "--lag"), 5);
  EXPECT_EQ(parse_lag("epochs", 20, "--lag"), 20);
  EXPECT_EQ(parse_lag("epochs/4", 20, "--lag"), 5);
  EXPECT_EQ(parse_lag("epochs/1", 7, "--lag"), 7);
}

TEST(Lag, AFractionIsRoundedDownToADivisor) {
  EXPECT_EQ(parse_lag("epochs/4", 10, "--lag"), 2);
  EXPECT_EQ(parse_lag("epochs/4", 30, "--lag"), 6);
  EXPECT_EQ(parse_lag("epochs/4", 7, "--lag"), 1);
  EXPECT_EQ(parse_lag("epochs/4", 4, "--lag"), 1);
}

TEST(Lag, FewerEpochsThanPartsMakeOneEpoch) {
  // Recipe `parallel` with --epochs 2 must still run.
  EXPECT_EQ(parse_lag("epochs/4", 2, "--lag"), 1);
}

TEST(Lag, WhatDoesNotDivideIsRefusedWithTheNearestThatDo) {
  try {
    parse_lag("7", 20, "--lag");
    FAIL() << "7 does not divide 20";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "--lag: 7 does not divide 20 epochs into whole turns; try 5 or 10");
  }
  for (const char* text : {"0", "-1", "x", "epochs/0", "epochs/", "epochs/x", "40", "5.5", ""}) {
    EXPECT_THROW(parse_lag(text, 20, "--lag"), UsageError) << text;
  }
}

}  // namespace
}  // namespace bitmill
