#include "base/pieces.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace bitmill {
namespace {

using Pieces = std::vector<std::pair<int64_t, int64_t>>;  // first, count

Pieces pieces_of(int64_t total, int64_t length) {
  Pieces pieces;
  for_pieces(total, length, [&](int64_t first, int64_t count) {
    pieces.push_back({first, count});
  });
  return pieces;
}

TEST(Pieces, AreWholeButForTheLast) {
  EXPECT_EQ(pieces_of(0, 4), Pieces());
  EXPECT_EQ(pieces_of(1, 4), (Pieces{{0, 1}}));
  EXPECT_EQ(pieces_of(3, 4), (Pieces{{0, 3}}));
  EXPECT_EQ(pieces_of(4, 4), (Pieces{{0, 4}}));
  EXPECT_EQ(pieces_of(5, 4), (Pieces{{0, 4}, {4, 1}}));
  EXPECT_EQ(pieces_of(8, 4), (Pieces{{0, 4}, {4, 4}}));
  EXPECT_EQ(pieces_of(3, 1), (Pieces{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(Pieces, CountIsThatOfThePieces) {
  for (const int64_t length : {1, 4, 7}) {
    for (int64_t total = 0; total <= 3 * length + 1; ++total) {
      EXPECT_EQ(piece_count(total, length), std::ssize(pieces_of(total, length)))
          << total << " in pieces of " << length;
    }
  }
}

TEST(Pieces, OfSeveralThreadsAreTheSame) {
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    for (const int64_t total : {0, 1, 6, 7, 8, 13, 14, 15}) {
      std::mutex mutex;
      std::multiset<std::pair<int64_t, int64_t>> found;
      parallel_pieces(pool, total, 7, [&](int64_t first, int64_t count) {
        const std::lock_guard lock(mutex);
        found.emplace(first, count);
      });
      const Pieces expected = pieces_of(total, 7);
      EXPECT_EQ(Pieces(found.begin(), found.end()), expected) << total << ", threads " << threads;
    }
  }
}

TEST(Pieces, SizesAreRoundedUpToWholeUnits) {
  EXPECT_EQ(rounded_up(0, 16), 0);
  EXPECT_EQ(rounded_up(1, 16), 16);
  EXPECT_EQ(rounded_up(16, 16), 16);
  EXPECT_EQ(rounded_up(17, 16), 32);
}

}  // namespace
}  // namespace bitmill
