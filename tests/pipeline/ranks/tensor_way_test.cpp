#include "pipeline/ranks/tensor_way.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "channel/channel.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

const RankOnGpu n1a = {"n1", "GPU-a", "2.28.9"}, n1b = {"n1", "GPU-b", "2.28.9"},
                n2a = {"n2", "GPU-a", "2.28.9"};

TEST(TensorWay, GpusOfTheirOwnAreJoinedByNcclAndPeopleHearIt) {
  const TensorWay way = choose_way({n1a, n1b, n2a});
  EXPECT_TRUE(way.by_nccl);
  EXPECT_EQ(way.words,
            "tensors travel from GPU to GPU by NCCL 2.28.9: each of 3 ranks has a GPU of its own");
}

TEST(TensorWay, ASharedGpuSendsEverythingThroughTheHostAndNamesTheRanks) {
  const TensorWay way = choose_way({n1a, n2a, n1a});
  EXPECT_FALSE(way.by_nccl);
  EXPECT_THAT(way.words, HasSubstr("through the host's memory: ranks 0 and 2 share one GPU of n1"));
}

TEST(TensorWay, ABuildWithoutNcclSaysSo) {
  RankOnGpu first = n1a, second = n1b;
  first.nccl = second.nccl = "";
  const TensorWay way = choose_way({first, second});
  EXPECT_FALSE(way.by_nccl);
  EXPECT_THAT(way.words, HasSubstr("built without NCCL"));
}

TEST(TensorWay, NothingIsSaidWhereNothingTravelsFromAGpu) {
  const RankOnGpu host = {"n1", "", "2.28.9"};
  for (const auto& all : {std::vector<RankOnGpu>{n1a}, {host, host}, {n1a, host}}) {
    EXPECT_FALSE(choose_way(all).by_nccl);
    EXPECT_EQ(choose_way(all).words, "");
  }
}

TEST(TensorWay, DifferentVersionsOfNcclAreRefusedWithTheirHosts) {
  RankOnGpu other = n2a;
  other.nccl = "2.21.5";
  try {
    choose_way({n1a, n1b, other});
    ADD_FAILURE();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("2.21.5 on n2, 2.28.9 on n1; install one on all hosts"));
  }
  // Where NCCL is not used, its versions may differ.
  other.identity = "GPU-a";
  other.host = "n1";
  EXPECT_THAT(choose_way({n1a, other}).words, HasSubstr("through the host's memory"));
}

TEST(TensorWay, WhatTravelsIsCountedOnTheGpu) {
  constexpr int64_t sample = int64_t{16} << 20;
  TensorWay way;
  EXPECT_EQ(travelling_bytes(way, {4, 2}, sample), 0);
  way.by_nccl = true;
  EXPECT_EQ(travelling_bytes(way, {1, 1}, sample), 0);
  const int64_t streams = travelling_bytes(way, {4, 1}, sample);
  EXPECT_GT(streams, 2 * Channel::most_under_way(sample) * sample);
  EXPECT_GT(travelling_bytes(way, {4, 2}, sample), streams);
  EXPECT_GT(travelling_bytes(way, {1, 4}, sample), travelling_bytes(way, {1, 2}, sample));
}

}  // namespace
}  // namespace bitmill
