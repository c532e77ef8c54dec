#include "infer/stop_texts.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

// What is shown of `text` when it comes in pieces of `length` bytes.
std::string shown(StopTexts stops, const std::string& text, size_t length) {
  std::string out;
  for (size_t at = 0; at < text.size() && !stops.found(); at += length) {
    out += stops.push(text.substr(at, length));
  }
  if (!stops.found()) out += stops.finish();
  return out;
}

TEST(StopTexts, NothingFromTheStopTextOnIsShownInAnyPieces) {
  for (size_t length = 1; length < 12; ++length) {
    EXPECT_EQ(shown(StopTexts({"User:"}), "Hello UsUser: x", length), "Hello Us");
    EXPECT_EQ(shown(StopTexts({"\n\n", "stop"}), "a\nb stop c\n\n", length), "a\nb ");
    EXPECT_EQ(shown(StopTexts({"aab"}), "aaaab", length), "aa");
  }
}

TEST(StopTexts, WhatOnlyBeginsLikeAStopTextIsShownAtTheEnd) {
  for (size_t length = 1; length < 12; ++length) {
    EXPECT_EQ(shown(StopTexts({"User:"}), "Hello Use", length), "Hello Use");
  }
  StopTexts stops({"User:"});
  EXPECT_EQ(stops.push("Hello Use"), "Hello ");
  EXPECT_EQ(stops.push("ful"), "Useful");
}

TEST(StopTexts, WithoutAnyTheTextPassesAtOnce) {
  StopTexts stops({});
  EXPECT_EQ(stops.push("abc"), "abc");
  EXPECT_FALSE(stops.found());
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopTexts, TheEarliestOfSeveralCounts) {
  StopTexts stops({"late", "b"});
  EXPECT_EQ(stops.push("ab late"), "a");
  EXPECT_TRUE(stops.found());
  EXPECT_EQ(stops.push("more"), "");
}

}  // namespace
}  // namespace bitmill
