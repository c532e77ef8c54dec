// From words to the options of `tune`.

#include "cli/options/tune_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "cli/commands/invocation.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TuneOptions options_of(std::vector<std::string> words) {
  const auto files = posix_files();
  words.insert(words.begin(), {"tune", "--model", "p", "--reference", "m", "--output-dir", "out",
                               "--calib", "c.txt"});
  return read_tune_request(*files, read_invocation(*files, words).settings).options;
}

std::string complaint_about(const std::vector<std::string>& words) {
  try {
    options_of(words);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(TuneOptions, SignsAreLearnedWhereTheyAreAskedForAtARateOfTheirOwn) {
  EXPECT_FALSE(options_of({}).learn_signs);
  const TuneOptions signs = options_of({"--learn-signs"});
  EXPECT_TRUE(signs.learn_signs);
  EXPECT_EQ(signs.sign_rate, 3e-3);
  EXPECT_EQ(signs.rate, 2e-3);
  EXPECT_EQ(options_of({"--learn-signs", "--lr-sign", "1e-2"}).sign_rate, 1e-2);
  EXPECT_FALSE(signs.half_latents);
  EXPECT_TRUE(options_of({"--learn-signs", "--sign-state", "16"}).half_latents);
  EXPECT_THAT(complaint_about({"--sign-state", "16"}), HasSubstr("no effect"));
  EXPECT_EQ(signs.sign_blocks, 0);  // all at a time
  EXPECT_EQ(options_of({"--learn-signs", "--sign-blocks", "3"}).sign_blocks, 3);
  EXPECT_THAT(complaint_about({"--learn-signs", "--sign-blocks", "0"}), HasSubstr("--sign-blocks"));
  EXPECT_THAT(complaint_about({"--sign-blocks", "3"}),
              HasSubstr("--sign-blocks has no effect without --learn-signs"));
  EXPECT_THAT(complaint_about({"--lr-sign", "1e-2"}),
              HasSubstr("--lr-sign has no effect without --learn-signs"));
}

TEST(TuneOptions, ACorpusIsSeveralFilesAndPassedOnceOver) {
  EXPECT_TRUE(options_of({}).corpus.empty());
  EXPECT_EQ(options_of({}).epochs, 6);
  const TuneOptions corpus = options_of({"--corpus", "a.txt,b.jsonl.zst"});
  EXPECT_THAT(corpus.corpus, ElementsAre("a.txt", "b.jsonl.zst"));
  EXPECT_EQ(corpus.epochs, 1);
  EXPECT_EQ(corpus.train_windows, 4096);
  EXPECT_EQ(corpus.portion, 512);
  EXPECT_EQ(options_of({"--corpus", "a.txt", "--epochs", "2"}).epochs, 2);
  EXPECT_THAT(complaint_about({"--corpus", "a.txt,,b.txt"}),
              HasSubstr("must be names of files with commas between them"));
  for (const char* option : {"--portion", "--train-windows"}) {
    EXPECT_THAT(complaint_about({option, "8"}), HasSubstr("has no effect without --corpus"));
  }
}

// The run folder takes no files but its own.
TEST(TuneOptions, TheIndexOfACorpusNeverLiesInTheRunFolder) {
  EXPECT_EQ(options_of({"--corpus", "a.txt"}).corpus_dir, "out.work-corpus");
  const std::string one = options_of({"--corpus", "a.txt", "--scratch-dir", "s"}).corpus_dir;
  EXPECT_THAT(one, testing::StartsWith("s/corpus-"));
  EXPECT_NE(options_of({"--corpus", "a.txt", "--scratch-dir", "s", "--work-dir", "w"}).corpus_dir,
            one);  // jobs that share a scratch folder
  EXPECT_EQ(options_of({"--corpus", "a.txt", "--work-dir", "w", "--scratch-dir", "w"}).corpus_dir,
            "w-corpus");
}

}  // namespace
}  // namespace bitmill
