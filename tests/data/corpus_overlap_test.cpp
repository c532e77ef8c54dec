#include "data/corpus_overlap.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace bitmill {
namespace {

constexpr int64_t stretch = EvaluationText::stretch_tokens;

std::vector<int32_t> counting(int32_t first, int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(EvaluationText, AStretchIsFoundWhereverItLies) {
  EvaluationText evaluation;
  evaluation.add(counting(1000, 200));
  for (const int32_t inside : {1000, 1001, 1200 - static_cast<int32_t>(stretch)}) {
    for (const int64_t before : {0, 1, 77}) {
      auto ids = counting(5000, before);
      const auto common = counting(inside, stretch);
      ids.insert(ids.end(), common.begin(), common.end());
      ids.push_back(7);
      EXPECT_TRUE(evaluation.shares_text_with(ids));
    }
  }
}

TEST(EvaluationText, AShorterCommonStretchDoesNotCount) {
  EvaluationText evaluation;
  evaluation.add(counting(1000, 200));
  auto ids = counting(1050, stretch - 1);
  ids.push_back(7);
  const auto more = counting(1100, stretch - 1);
  ids.insert(ids.end(), more.begin(), more.end());
  EXPECT_FALSE(evaluation.shares_text_with(ids));
  EXPECT_FALSE(evaluation.shares_text_with(counting(1000, stretch - 1)));
  EXPECT_FALSE(evaluation.shares_text_with({}));
}

TEST(EvaluationText, OrderAndSmallDifferencesCount) {
  EvaluationText evaluation;
  std::vector<int32_t> ids(static_cast<size_t>(stretch), 0);
  ids[5] = 1;
  evaluation.add(ids);
  EXPECT_TRUE(evaluation.shares_text_with(ids));
  std::swap(ids[5], ids[6]);
  EXPECT_FALSE(evaluation.shares_text_with(ids));
}

TEST(EvaluationText, AShortWindowIsFoundAsAWhole) {
  EvaluationText evaluation;
  evaluation.add(counting(1000, 16));
  evaluation.add(counting(3000, 100));
  EXPECT_TRUE(evaluation.shares_text_with(counting(990, 40)));
  EXPECT_FALSE(evaluation.shares_text_with(counting(1001, 40)));
  EXPECT_FALSE(evaluation.shares_text_with(counting(3000, 40)));
  EXPECT_TRUE(evaluation.shares_text_with(counting(2990, 80)));
}

TEST(EvaluationText, NothingIsSharedWithNothing) {
  EXPECT_TRUE(EvaluationText().empty());
  EXPECT_FALSE(EvaluationText().shares_text_with(counting(0, 100)));
}

}  // namespace
}  // namespace bitmill
