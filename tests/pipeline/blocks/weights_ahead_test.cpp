#include "pipeline/blocks/weights_ahead.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

TEST(WeightsAhead, TheNextBlockIsTheOneThatTheStageLoadsNext) {
  const Plan one = make_plan(3, 4, 2, 1, Walk::sweep);  // two bands on one stage
  EXPECT_EQ(block_after(one, 0, 0, 0), 1);
  EXPECT_EQ(block_after(one, 0, 1, 0), 2);
  EXPECT_EQ(block_after(one, 0, 2, 0), 0) << "the second band begins";
  EXPECT_EQ(block_after(one, 0, 2, 1), std::nullopt);
  const Plan two = make_plan(3, 4, 2, 2, Walk::wavefront);
  EXPECT_EQ(block_after(two, 1, 1, 0), 1) << "its next turn";
  EXPECT_EQ(block_after(two, 0, 0, 1), 2);
}

class WeightsAheadOfAModel : public testing::Test {
 protected:
  WeightsAheadOfAModel() {
    test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_));
  }

  static bool same(const BlockWeights& a, const BlockWeights& b) {
    if (a.linears.size() != b.linears.size()) return false;
    for (size_t i = 0; i < a.linears.size(); ++i) {
      if (!at::equal(a.linears[i], b.linears[i])) return false;
    }
    return at::equal(a.vectors.input_norm.weight, b.vectors.input_norm.weight);
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const nlohmann::json config_ = test::tiny_config();
};

TEST_F(WeightsAheadOfAModel, WhatIsReadAheadIsTheBlockWithItsHashes) {
  const SourceModel model(*files_, folder_ / "model");
  WeightsAhead ahead(model);
  ahead.begin(1);
  ahead.begin(1);
  const std::optional<WeightsRead> read = ahead.take(1);
  ASSERT_TRUE(read);
  EXPECT_TRUE(same(read->weights, model.load_block(1)));
  EXPECT_FALSE(same(model.load_block(0), model.load_block(1))) << "or this tests nothing";
  ThreadPool pool(1);
  EXPECT_EQ(read->hashes, hash_tensors(model, tensors_of_block(model, 1), pool));
  EXPECT_FALSE(ahead.take(1)) << "it was taken";
}

TEST_F(WeightsAheadOfAModel, AnotherBlockThanTheOneUnderWayIsNotThere) {
  const SourceModel model(*files_, folder_ / "model");
  WeightsAhead ahead(model);
  ahead.begin(0);
  EXPECT_FALSE(ahead.take(1));
  ahead.begin(1);
  const std::optional<WeightsRead> read = ahead.take(1);
  ASSERT_TRUE(read);
  EXPECT_TRUE(same(read->weights, model.load_block(1)));
  ahead.begin(0);  // nobody takes it
}

// The file is again what it was when the weights are judged: only their hashes tell.
TEST_F(WeightsAheadOfAModel, WeightsReadWhileTheFileWasAnotherOneAreRefused) {
  test::write_model(*files_, folder_ / "other", config_, test::tiny_tensors(config_, /*seed=*/2));
  const std::string file = "model/model.safetensors", good = folder_.read(file);
  const std::string other = folder_.read("other/model.safetensors");
  ASSERT_EQ(good.size(), other.size());
  const SourceModel model(*files_, folder_ / "model");
  ThreadPool pool(1);
  const std::unique_ptr<Communicator> alone = self_communicator();
  const auto read_as = [&](const std::string& content) {
    WeightsAhead ahead(model);
    folder_.write(file, content);
    ahead.begin(1);
    const std::optional<WeightsRead> read = ahead.take(1);
    folder_.write(file, good);
    return read->hashes;
  };
  SourceGuard guard(model, *alone, pool, nullptr);
  guard.read_block(1);
  EXPECT_NO_THROW(guard.read_block(1, read_as(good)));
  EXPECT_THROW(guard.read_block(1, read_as(other)), UsageError);
}

TEST_F(WeightsAheadOfAModel, ARankThatReadOtherWeightsAheadIsNamed) {
  test::write_model(*files_, folder_ / "other", config_, test::tiny_tensors(config_, /*seed=*/2));
  const SourceModel model(*files_, folder_ / "model"), other(*files_, folder_ / "other");
  std::vector<std::string> said(2);
  run_ranks(2, [&](Communicator& comm) {
    ThreadPool pool(1);
    WeightsAhead ahead(comm.rank() == 0 ? model : other);
    ahead.begin(1);
    SourceGuard guard(model, comm, pool, nullptr);  // the file itself is the same for both
    try {
      guard.read_block(1, ahead.take(1)->hashes);
    } catch (const UsageError& error) {
      said[static_cast<size_t>(comm.rank())] = error.what();
    }
  });
  for (const std::string& words : said) {
    EXPECT_NE(words.find("rank 1 and rank 0 read different weights of block 1"), std::string::npos)
        << words;
  }
}

TEST_F(WeightsAheadOfAModel, ADamagedValueIsFoundByWhoTakesIt) {
  const SourceModel model(*files_, folder_ / "model");
  std::string file = folder_.read("model/model.safetensors");
  std::fill(file.begin() + std::ssize(file) / 4, file.end(), '\xff');  // NaN in every float type
  folder_.write("model/model.safetensors", file);
  WeightsAhead ahead(model);
  ahead.begin(1);
  EXPECT_THROW(ahead.take(1), NumericError);
}

}  // namespace
}  // namespace bitmill
