#pragma once
// EXPECT_THAT([&] { call(); }, throws_with<FormatError>("part of the message"))

#include <gmock/gmock.h>

#include <string>

namespace bitmill {

template <class E>
auto throws_with(const std::string& part) {
  return ::testing::Throws<E>(::testing::Property(&E::what, ::testing::HasSubstr(part)));
}

}  // namespace bitmill
