#include "data/training_corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "data/corpus_order.hpp"
#include "data/tokenizer.hpp"
#include "data/windows.hpp"
#include "memory_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

TEST(CorpusOrder, EveryNumberOccursOnce) {
  for (const int64_t count : {1, 2, 3, 5, 16, 17, 1000}) {
    const CorpusOrder order(count, 7, 0);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < count; ++i) seen.insert(order.at(i));
    EXPECT_EQ(std::ssize(seen), count);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), count - 1);
  }
}

}  // namespace
}  // namespace bitmill
