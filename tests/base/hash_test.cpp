#include "base/hash.hpp"

#include <gtest/gtest.h>

#include <string>

namespace bitmill {
namespace {

auto raw_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// XXH3_128bits of no bytes with seed 0, from the sanity checks of xxHash's own distribution.
TEST(Hash, OfNothingIsThePublishedValue) {
  EXPECT_EQ(hash_hex({}), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, InPiecesEqualsAtOnce) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31 + i / 256);
  for (const size_t piece : {1, 31, 33, 240, 241, 1009, 5000}) {
    Hasher hasher;
    for (size_t first = 0; first < text.size(); first += piece) {
      hasher.add(raw_bytes(std::string_view(text).substr(first, piece)));
    }
    EXPECT_EQ(hasher.hex(), hash_hex(raw_bytes(text))) << "pieces of " << piece;
  }
}

TEST(Hash, TextsDoNotRunIntoEachOther) {
  Hasher one, other;
  one.add_text("ab");
  one.add_text("c");
  other.add_text("a");
  other.add_text("bc");
  EXPECT_NE(one.hex(), other.hex());
}

}  // namespace
}  // namespace bitmill
