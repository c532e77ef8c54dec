#include "pipeline/folder/shared_corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "comm/thread_communicator.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class SharedCorpus : public testing::Test {
 protected:
  SharedCorpus() {
    std::string text;
    for (int i = 0; i < 60000; ++i)
      text += "a document of some words, number " + std::to_string(i) + "<|endoftext|>";
    corpus_.paths = {folder_.write("a.txt", text)};
    corpus_.model_folder = folder_ / "model";
    corpus_.vocab_size = 31;
    corpus_.seq_len = 8;
    corpus_.least_bytes = 16;
    corpus_.scratch_dir = folder_ / "index";
  }

  TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  CorpusOptions corpus_;
};

TEST_F(SharedCorpus, IsThereOnceForRanksOfOneHostAndOfSeveral) {
  run_ranks(3, [&](Communicator& comm) {
    RunControl control;
    control.host = comm.rank() < 2 ? "n1" : "n2";
    prepare_together(*files_, corpus_, comm, control);
    EXPECT_TRUE(corpus_is_prepared(*files_, corpus_));
    remove_together(*files_, corpus_, comm, control.host);
    EXPECT_FALSE(files_->exists(corpus_.scratch_dir));
  });
}

TEST_F(SharedCorpus, AStopWhileItIsIndexedEndsEveryRankAndLeavesNothingUnfinished) {
  std::atomic<int> stopped = 0;
  run_ranks(3, [&](Communicator& comm) {
    RunControl control;
    if (comm.rank() == 0) control.wishes.asked = [] { return std::string("SIGTERM"); };
    try {
      prepare_together(*files_, corpus_, comm, control);
    } catch (const AgreedStop& stop) {
      EXPECT_THAT(stop.what(), HasSubstr("SIGTERM: stopped while the corpus was indexed"));
      ++stopped;
    }
  });
  EXPECT_EQ(stopped, 3);
  EXPECT_FALSE(corpus_is_prepared(*files_, corpus_));
  EXPECT_THAT(files_->list(corpus_.scratch_dir), IsEmpty());
}

TEST_F(SharedCorpus, ADeadlineThatHasComeStopsIt) {
  run_ranks(1, [&](Communicator& comm) {
    RunControl control;
    control.wishes.deadline = std::chrono::steady_clock::now();
    EXPECT_THROW(prepare_together(*files_, corpus_, comm, control), AgreedStop);
  });
}

}  // namespace
}  // namespace bitmill
