#include "data/corpus_order.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace bitmill {
namespace {

std::vector<int64_t> order_of(int64_t count, uint64_t seed, int64_t deal) {
  const CorpusOrder order(count, seed, deal);
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(order.at(i));
  return numbers;
}

TEST(CorpusOrder, EveryNumberOccursOnce) {
  for (const int64_t count : {1, 2, 3, 4, 5, 16, 17, 1000, 4096, 4097}) {
    const auto numbers = order_of(count, 7, 0);
    const std::set<int64_t> seen(numbers.begin(), numbers.end());
    EXPECT_EQ(std::ssize(seen), count);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), count - 1);
  }
}

TEST(CorpusOrder, SeedAndDealChangeIt) {
  EXPECT_EQ(order_of(100, 7, 0), order_of(100, 7, 0));
  EXPECT_NE(order_of(100, 7, 0), order_of(100, 8, 0));
  EXPECT_NE(order_of(100, 7, 0), order_of(100, 7, 1));
}

// Pairs of neighbours: in a random order, their numbers lie a third of the range apart on average,
// with a standard deviation of the mean of about 0.24 / sqrt(n).
TEST(CorpusOrder, NeighboursLieApart) {
  const auto numbers = order_of(10'000, 3, 0);
  double sum = 0;
  for (size_t i = 1; i < numbers.size(); ++i) {
    sum += std::abs(static_cast<double>(numbers[i] - numbers[i - 1]));
  }
  EXPECT_NEAR(sum / 9999 / 10'000, 1.0 / 3, 5 * 0.24 / 100);
}

TEST(CorpusOrder, RangesFarAboveMemoryWork) {
  const int64_t count = int64_t{3} << 40;
  const CorpusOrder order(count, 1, 0);
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 100; ++i) {
    const int64_t number = order.at(count - 1 - i);
    EXPECT_TRUE(number >= 0 && number < count && seen.insert(number).second);
  }
}

}  // namespace
}  // namespace bitmill
