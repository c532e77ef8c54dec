#include "data/utf8.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

TEST(Utf8, EveryCodePointIsValidAndASingleCharacter) {
  for (uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    append_utf8(code, text);
    ASSERT_EQ(first_invalid_utf8(text), text.npos) << code;
    ASSERT_EQ(utf8_char_bytes(text), text.size()) << code;
  }
}

TEST(Utf8, WhatUnicodeForbidsIsInvalidAtItsFirstByte) {
  for (const std::string bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                                "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
                                "\xC3", "\xE6\xBC", "\xF0\x9F\x98", "\xC3(", "\xE6\xBC("}) {
    EXPECT_EQ(first_invalid_utf8("ok" + bad), 2U) << testing::PrintToString(bad);
  }
}

// The example of Unicode's section 3.9, table 3-8 and neighbours.
TEST(Utf8, EveryMaximalInvalidStretchBecomesOneReplacement) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid_utf8("\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            mark + mark + mark + "b" + mark + "c" + mark + mark + "d");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), mark + mark + mark);
  EXPECT_EQ(replace_invalid_utf8("a\xF0\x9F\x98"), "a" + mark);
}

}  // namespace
}  // namespace bitmill
