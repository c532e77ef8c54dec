#include "model/sample_stream.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "model/tiny_model.hpp"
#include "noted_files.hpp"

namespace bitmill {
namespace {

constexpr int64_t seq_len = 5;
constexpr int64_t hidden = 3;
constexpr int64_t sample_bytes = seq_len * hidden * 4;
constexpr StreamOrigin packed_block_3 = {"the packed block", 3, "sample", 17, "the advice"};

at::Tensor numbered(int64_t number) {
  return at::arange(seq_len * hidden).to(at::kFloat).view({seq_len, hidden}) +
         static_cast<double>(100 * number);
}

class SampleStreamTest : public testing::Test {
 protected:
  StreamBudget make_budget(int64_t samples_in_memory) {
    return StreamBudget(*files_, samples_in_memory * sample_bytes, folder_.path() + "/streams");
  }

  const test::ScratchFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(SampleStreamTest, ReturnsWhatWasStoredWhereverItLives) {
  for (const int64_t samples_in_memory : {0, 3, 7, 100}) {
    StreamBudget budget = make_budget(samples_in_memory);
    SampleStream stream(budget, 7, seq_len, hidden);
    for (int64_t i = 0; i < 7; ++i) stream.store(i, numbered(i));
    stream.store(2, numbered(50));
    stream.store(6, numbered(60));
    for (int64_t i = 0; i < 7; ++i) {
      const int64_t expected = i == 2 ? 50 : i == 6 ? 60 : i;
      EXPECT_TRUE(at::equal(stream.load(i), numbered(expected))) << i;
    }
  }
}

// 2049 lies between two halves, 257 between two bfloat16 values: both go to the even one.
TEST_F(SampleStreamTest, SixteenBitsRoundOnceAndTakeHalf) {
  const at::Tensor value = at::full({seq_len, hidden}, 1.5F);
  value[0][0] = 2049;
  value[1][2] = 257;
  for (const auto& [dtype, first, second] :
       {std::tuple{Dtype::float16, 2048.F, 257.F}, std::tuple{Dtype::bfloat16, 2048.F, 256.F}}) {
    for (const int64_t samples_in_memory : {0, 1}) {
      StreamBudget budget = make_budget(samples_in_memory);
      SampleStream stream(budget, 2, seq_len, hidden, dtype);
      EXPECT_EQ(budget.scratch_bytes(), samples_in_memory == 0 ? sample_bytes : 0);
      stream.store(0, value);
      const at::Tensor kept = stream.load(0);
      EXPECT_EQ(kept.scalar_type(), at::kFloat);
      EXPECT_EQ(kept[0][0].item<float>(), first);
      EXPECT_EQ(kept[1][2].item<float>(), second);
      EXPECT_EQ(kept[2][0].item<float>(), 1.5F);
      stream.store(1, stream.load_kept(0));
      EXPECT_TRUE(at::equal(stream.load(1), kept));
    }
  }
}

TEST_F(SampleStreamTest, AValueBeyondFloat16IsRefused) {
  StreamBudget budget = make_budget(4);
  SampleStream halves(budget, 1, seq_len, hidden, Dtype::float16);
  SampleStream bfloats(budget, 1, seq_len, hidden, Dtype::bfloat16);
  const at::Tensor value = at::full({seq_len, hidden}, -7e4F);
  EXPECT_THROW(halves.store(0, value), NumericError);
  bfloats.store(0, value);
  EXPECT_LT(bfloats.load(0)[0][0].item<float>(), -6.9e4F);
}

// A NaN is not larger than anything: a comparison alone lets it pass.
TEST_F(SampleStreamTest, ValuesThatAreNotFiniteAreRefusedInEveryDtype) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  StreamBudget budget = make_budget(4);
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16, Dtype::float32}) {
    SampleStream stream(budget, 1, seq_len, hidden, dtype);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
      at::Tensor value = at::ones({seq_len, hidden});
      value[seq_len - 1][hidden - 1] = bad;
      EXPECT_THROW(stream.store(0, value, packed_block_3), NumericError) << bad;
      if (dtype == Dtype::float32) continue;
      EXPECT_THROW(stream.store(0, value), NumericError) << bad;
    }
  }
}

// Nobody knows the block of such a value, nor its number in the job: the error names none.
TEST_F(SampleStreamTest, TheErrorOfAValueFromElsewhereNamesNoBlock) {
  StreamBudget budget = make_budget(4);
  SampleStream stream(budget, 3, seq_len, hidden, Dtype::float16);
  at::Tensor value = at::ones({seq_len, hidden});
  value[1][2] = std::numeric_limits<float>::infinity();
  try {
    stream.store(2, value);
    FAIL() << "infinity was kept";
  } catch (const NumericError& error) {
    EXPECT_THAT(error.what(),
                testing::StartsWith("an activation that came from elsewhere gives "
                                    "inf in this rank's sample 2, token 1, channel 2"));
  }
}

TEST_F(SampleStreamTest, TheErrorHasThePlaceAndAdviceForItsCause) {
  StreamBudget budget = make_budget(4);
  const auto refusal = [&](Dtype dtype, int64_t token, float bad) -> std::string {
    SampleStream stream(budget, 1, seq_len, hidden, dtype);
    at::Tensor value = at::ones({seq_len, hidden});
    value[token][2] = bad;
    try {
      stream.store(0, value, packed_block_3);
    } catch (const NumericError& error) {
      return error.what();
    }
    return "not refused";
  };
  EXPECT_THAT(refusal(Dtype::float16, 0, -7e4F),
              testing::AllOf(testing::HasSubstr("the packed block 3 gives -70000 in sample 17"),
                             testing::HasSubstr("token 0, the first of the window, channel 2"),
                             testing::HasSubstr("--stream-dtype bfloat16 or float32"),
                             testing::Not(testing::HasSubstr("the advice"))));
  EXPECT_THAT(refusal(Dtype::float16, 1, std::nanf("")),
              testing::AllOf(testing::HasSubstr("gives nan in sample 17, token 1, channel 2"),
                             testing::HasSubstr("the advice"),
                             testing::Not(testing::HasSubstr("--stream-dtype"))));
  // The largest numbers of float32 would be rounded to infinity.
  EXPECT_THAT(refusal(Dtype::bfloat16, 1, 3.4e38F), testing::HasSubstr("--stream-dtype float32"));
  EXPECT_EQ(refusal(Dtype::bfloat16, 1, 3.38e38F), "not refused");
  EXPECT_EQ(refusal(Dtype::float32, 1, 3.4e38F), "not refused");
}

TEST_F(SampleStreamTest, OnlyWhatDoesNotFitIsWritten) {
  StreamBudget budget = make_budget(5);
  const SampleStream first(budget, 3, seq_len, hidden);
  EXPECT_EQ(budget.scratch_bytes(), 0);
  const SampleStream second(budget, 6, seq_len, hidden);
  EXPECT_EQ(budget.scratch_bytes(), 4 * sample_bytes);
}

// Of four samples, 60 bytes each, two are in memory; there is no fifth.
TEST_F(SampleStreamTest, WhatIsOnDiskSetsOutWhenItIsStoredAndWhenItIsAskedFor) {
  NotedFiles files("streams");
  StreamBudget budget(files, 2 * sample_bytes, folder_.path() + "/streams");
  SampleStream stream(budget, 4, seq_len, hidden);
  for (const int64_t i : {0, 2, 3}) stream.store(i, numbered(i));
  for (const int64_t i : {0, 3, 4}) stream.prefetch(i);
  EXPECT_TRUE(at::equal(stream.load(3), numbered(3)));
  EXPECT_THAT(files.texts(), testing::ElementsAre("write 0+60", "write out 0+60", "write 60+60",
                                                  "write out 60+60", "ask 60+60", "read 60+60"));
}

TEST_F(SampleStreamTest, StreamsInOneScratchFileDoNotMeet) {
  StreamBudget budget = make_budget(1);
  SampleStream first(budget, 3, seq_len, hidden), second(budget, 2, seq_len, hidden);
  for (int64_t i = 0; i < 3; ++i) first.store(i, numbered(i));
  for (int64_t i = 0; i < 2; ++i) second.store(i, numbered(10 + i));
  for (int64_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(first.load(i), numbered(i)));
  for (int64_t i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(second.load(i), numbered(10 + i)));
}

TEST_F(SampleStreamTest, WhatAStreamTookIsUsedAgain) {
  StreamBudget budget = make_budget(2);
  for (int round = 0; round < 10; ++round) {
    SampleStream first(budget, 4, seq_len, hidden), second(budget, 3, seq_len, hidden);
    for (int64_t i = 0; i < 3; ++i) second.store(i, numbered(i));
    for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(at::equal(second.load(i), numbered(i)));
  }
  EXPECT_EQ(budget.scratch_bytes(), 5 * sample_bytes);
}

TEST_F(SampleStreamTest, ReleasedScratchRegionsAreMerged) {
  StreamBudget budget = make_budget(0);
  const int64_t a = budget.reserve_scratch(10), b = budget.reserve_scratch(20);
  const int64_t c = budget.reserve_scratch(30), d = budget.reserve_scratch(5);
  budget.release_scratch(a, 10);
  budget.release_scratch(c, 30);
  budget.release_scratch(b, 20);
  EXPECT_EQ(budget.reserve_scratch(60), a);
  EXPECT_EQ(budget.reserve_scratch(1), d + 5);
}

TEST_F(SampleStreamTest, LeavesNothingInTheScratchFolder) {
  StreamBudget budget = make_budget(0);
  SampleStream stream(budget, 2, seq_len, hidden);
  stream.store(1, numbered(1));
  EXPECT_THAT(files_->list(folder_.path()), testing::IsEmpty());
  EXPECT_TRUE(at::equal(stream.load(1), numbered(1)));
}

TEST_F(SampleStreamTest, AMissingScratchFolderIsMadeWhenItIsNeeded) {
  const std::string made = folder_.path() + "/a/b";
  StreamBudget budget(*files_, 2 * sample_bytes, made + "/streams");
  const SampleStream fits(budget, 2, seq_len, hidden);
  EXPECT_FALSE(files_->exists(made));
  SampleStream stream(budget, 1, seq_len, hidden);
  stream.store(0, numbered(3));
  EXPECT_TRUE(at::equal(stream.load(0), numbered(3)));
  EXPECT_THAT(files_->list(made), testing::IsEmpty());
}

TEST_F(SampleStreamTest, AViewIsStoredAsWhatItShows) {
  StreamBudget budget = make_budget(1);
  SampleStream stream(budget, 1, seq_len, hidden);
  at::Tensor whole = at::cat({numbered(1), numbered(2)});
  stream.store(0, whole.narrow(0, seq_len, seq_len));
  whole.zero_();
  EXPECT_TRUE(at::equal(stream.load(0), numbered(2)));
}

TEST_F(SampleStreamTest, ASampleInMemoryIsCopiedAndReadInPlace) {
  StreamBudget budget = make_budget(2);
  SampleStream stream(budget, 2, seq_len, hidden);
  at::Tensor value = numbered(4);
  stream.store(1, value);
  value.zero_();
  EXPECT_TRUE(at::equal(stream.load(1), numbered(4)));
  const auto* first = static_cast<const std::byte*>(stream.load(0).const_data_ptr());
  const auto* second = static_cast<const std::byte*>(stream.load(1).const_data_ptr());
  EXPECT_EQ(stream.load(1).const_data_ptr(), second);
  EXPECT_GE(second - first, sample_bytes) << "samples overlap";
  EXPECT_LT(second - first, sample_bytes + 64) << "samples are not one behind the other";
}

TEST_F(SampleStreamTest, DifferentSamplesMayBeUsedFromSeveralThreads) {
  StreamBudget budget = make_budget(8);
  SampleStream stream(budget, 16, seq_len, hidden);
  ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    pool.parallel_for(16, [&](int64_t i) {
      stream.store(i, numbered(i + round));
      ASSERT_TRUE(at::equal(stream.load(i), numbered(i + round)));
    });
  }
}

TEST_F(SampleStreamTest, AnEmptyStreamTakesNothing) {
  StreamBudget budget = make_budget(1);
  const SampleStream stream(budget, 0, seq_len, hidden);
  EXPECT_EQ(stream.count(), 0);
  EXPECT_TRUE(budget.take(sample_bytes));
}

}  // namespace
}  // namespace bitmill
