#include "base/problems.hpp"

#include <gtest/gtest.h>

#include <new>

#include "base/error.hpp"

namespace bitmill {
namespace {

std::string text_of(const Problems& problems) {
  try {
    problems.throw_if_any();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Problems, NoneIsNoError) {
  Problems problems;
  problems.in("a place");
  EXPECT_TRUE(problems.attempt([] {}));
  EXPECT_NO_THROW(problems.throw_if_any());
}

TEST(Problems, OneIsSaidInItsOwnWords) {
  Problems problems;
  problems.in("a place");
  EXPECT_FALSE(problems.attempt([] { throw FormatError("x is wrong"); }));
  EXPECT_EQ(text_of(problems), "x is wrong");
}

TEST(Problems, SeveralAreNumberedThroughTheGroupsALineEach) {
  Problems problems;
  problems.in("settings");
  problems.add_usage("a");
  problems.in("model");
  problems.attempt([] { throw FormatError("b\n  c"); });
  problems.in("empty");
  problems.in("settings");
  problems.add_usage("d");
  EXPECT_EQ(text_of(problems),
            "4 problems; nothing was begun\nsettings\n  1. a\n  2. d\nmodel\n  3. b\n  4. c");
}

TEST(Problems, WhatIsKnownIsSaidOnce) {
  Problems problems;
  problems.in("here");
  problems.add("a");
  problems.in("there");
  problems.add("a");
  EXPECT_EQ(problems.count(), 1);
}

TEST(Problems, OnlyUsageErrorsMakeAUsageError) {
  Problems problems;
  problems.attempt([] { throw UsageError("a"); });
  EXPECT_THROW(problems.throw_if_any(), UsageError);
  problems.attempt([] { throw FileError("b"); });
  EXPECT_THROW(problems.throw_if_any(), FormatError);
}

TEST(Problems, WhatIsNoErrorOfOursIsNotKept) {
  Problems problems;
  EXPECT_THROW(problems.attempt([] { throw std::bad_alloc(); }), std::bad_alloc);
}

}  // namespace
}  // namespace bitmill
