#include "comm/gather.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class GatherOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, GatherOf, testing::Values(1, 2, 3, 5));

TEST_P(GatherOf, ListsMayDifferInLength) {
  run_ranks(GetParam(), [](Communicator& comm) {
    const std::vector<int16_t> mine(static_cast<size_t>(comm.rank()), int16_t{7});
    const auto all = gather_values<int16_t>(comm, mine);
    ASSERT_EQ(std::ssize(all), comm.size());
    for (size_t rank = 0; rank < all.size(); ++rank) {
      EXPECT_EQ(all[rank], std::vector<int16_t>(rank, int16_t{7}));
    }
  });
}

TEST_P(GatherOf, OneValueOfEveryRankComesInRankOrder) {
  struct Pair {
    int32_t rank;
    double tenth;
  };
  run_ranks(GetParam(), [](Communicator& comm) {
    const auto all = gather_value(comm, Pair{comm.rank(), comm.rank() * 0.1});
    ASSERT_EQ(std::ssize(all), comm.size());
    for (int rank = 0; rank < comm.size(); ++rank) {
      EXPECT_EQ(all[static_cast<size_t>(rank)].rank, rank);
      EXPECT_EQ(all[static_cast<size_t>(rank)].tenth, rank * 0.1);
    }
  });
}

TEST_P(GatherOf, TextsKeepEveryByte) {
  run_ranks(GetParam(), [](Communicator& comm) {
    const auto text_of = [](size_t rank) { return std::string(rank, '\0') + "\xFF"; };
    const auto all = gather_texts(comm, text_of(static_cast<size_t>(comm.rank())));
    ASSERT_EQ(std::ssize(all), comm.size());
    for (size_t rank = 0; rank < all.size(); ++rank) EXPECT_EQ(all[rank], text_of(rank));
  });
  const auto self = self_communicator();
  EXPECT_EQ(gather_texts(*self, ""), std::vector<std::string>{""});
}

TEST(Gather, RanksThatSayOtherValuesAreRefused) {
  const auto mixed = [](Communicator& comm) {
    if (comm.rank() == 0) {
      gather_value(comm, int32_t{1});
    } else {
      gather_value(comm, int64_t{1});
    }
  };
  EXPECT_THAT([&] { run_ranks(2, mixed); },
              ThrowsMessage<CommError>(HasSubstr("where one value of")));
  const auto cut = [](Communicator& comm) {
    const std::vector<char> three(3, 'x');
    if (comm.rank() == 0) {
      gather_values<char>(comm, three);
    } else {
      gather_values<int16_t>(comm, {});
    }
  };
  EXPECT_THAT([&] { run_ranks(2, cut); },
              ThrowsMessage<CommError>(HasSubstr("3 bytes of rank 0 where whole values of 2")));
}

}  // namespace
}  // namespace bitmill
