// Corpora that are refused, and what is said about those that are taken. The fixture uses
// BITMILL_SOURCE_DIR.

#include <gmock/gmock.h>

#include "training_corpus_fixture.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(TrainingCorpusTest, ATextThatIsTooShortForTwoPartsIsRefused) {
  const std::string path = folder_.write("a.txt", corpora::counted_words(100, 20));
  auto options = options_of(path);
  options.held_out_numerator = 1;
  options.held_out_denominator = 10;
  EXPECT_THAT(refused(options), HasSubstr("is one document, and one more is needed"));
  options.cut = CorpusCut::packed;
  EXPECT_THAT(refused(options), HasSubstr("too short for two windows of 40"));
  options.held_out_numerator = 0;
  options.seq_len = 4000;
  EXPECT_THAT(refused(options),
              AllOf(HasSubstr("fewer than one window of 4000"), HasSubstr("the text has about")));
}

TEST_F(TrainingCorpusTest, NobodyOpensWhatNobodyPrepared) {
  const auto options =
      options_of(folder_.write("a.txt.gz", corpora::gzip(as_text(made_documents(9)))));
  EXPECT_FALSE(corpus_is_prepared(*files_, options));
  EXPECT_THROW(TrainingCorpus(*files_, options), UsageError);
  const CorpusDiskBytes bytes = corpus_disk_bytes(*files_, options);
  EXPECT_EQ(bytes.unpacked, std::ssize(as_text(made_documents(9))));
  EXPECT_GT(bytes.index, 9 * 32);
  prepare_corpus(*files_, options);
  EXPECT_TRUE(corpus_is_prepared(*files_, options));
  EXPECT_EQ(TrainingCorpus(*files_, options).size(), 9);
  remove_prepared_corpus(*files_, options);
  EXPECT_THAT(files_->list(options.scratch_dir), IsEmpty());
  remove_prepared_corpus(*files_, options);
}

// Of what is compressed only the begin is unpacked: the end may be missing, and the size is about
// right.
TEST_F(TrainingCorpusTest, TheForecastReadsTheBeginOfACompressedTextAlone) {
  std::string text;
  uint32_t state = 1;
  while (text.size() < size_t{3} << 20) {
    state = state * 1664525 + 1013904223;
    text += static_cast<char>('a' + (state >> 24) % 26);
  }
  for (std::string packed : {corpora::gzip(text), corpora::zstd(text)}) {
    ASSERT_GT(packed.size(), size_t{3} << 19);
    packed.resize(packed.size() - 9);
    const auto options = options_of(folder_.write("a.txt.x", packed));
    EXPECT_NEAR(static_cast<double>(corpus_disk_bytes(*files_, options).unpacked), 3 << 20, 2e5);
    EXPECT_THAT(corpora::refusal<FormatError>([&] { prepare_corpus(*files_, options); }),
                HasSubstr("ends early"));
  }
}

TEST_F(TrainingCorpusTest, WhatCannotBeIndexedIsSeenAtItsBeginBeforeAnyWork) {
  const auto told = [&](const std::string& name, const std::string& content) {
    try {
      corpus_disk_bytes(*files_, options_of(folder_.write(name, content)));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_THAT(told("program", std::string("\x7f\0ELF", 5)), HasSubstr("byte 1 is 0"));
  EXPECT_THAT(told("empty.txt", ""), HasSubstr("is empty"));
  EXPECT_THAT(told("no.txt.gz", corpora::gzip("")), HasSubstr("is empty"));
  const std::string lines = "\n{\"body\": \"a text\"}\n";
  EXPECT_THAT(told("a.jsonl", lines), AllOf(HasSubstr("a.jsonl, line 2"), HasSubstr("body")));
  EXPECT_THAT(told("b.jsonl.gz", corpora::gzip(lines)), HasSubstr("line 2"));
  EXPECT_EQ(told("a.txt", as_text(made_documents(3))), "nothing");
  // A first line of JSON that does not end within the begin.
  const std::string longest = "{\"text\": \"" + std::string(size_t{2} << 20, 'a') + "\"}\n";
  EXPECT_EQ(told("long", longest), "nothing");
  EXPECT_EQ(told("long.gz", corpora::gzip(longest)), "nothing");
}

TEST_F(TrainingCorpusTest, BadOptionsAreRefused) {
  auto options = options_of(folder_.write("a.txt", as_text(made_documents(9))));
  options.paths.clear();
  EXPECT_THAT(refused(options), HasSubstr("names no file"));
  options = options_of(folder_ / "a.txt");
  options.seq_len = 1;
  EXPECT_THAT(refused(options), HasSubstr("at least 2 tokens"));
  options = options_of(folder_ / "a.txt");
  options.least_bytes = 0;
  EXPECT_THAT(refused(options), HasSubstr("must be at least 1"));
  options = options_of(folder_ / "a.txt");
  options.vocab_size = 10;
  EXPECT_THAT(corpora::refusal<FormatError>([&] { opened(options).sequence(0); }),
              HasSubstr("the model's vocabulary is [0, 10)"));
}

TEST_F(TrainingCorpusTest, NotesSayWhatIsNotAsItSeems) {
  auto options = options_of(folder_.write("a.txt", as_text(made_documents(9)) + "short"));
  options.wanted = 100;
  EXPECT_THAT(opened(options).notes(),
              AllOf(Contains(HasSubstr("1 documents are left out, and 9 are used")),
                    Contains(HasSubstr("has 9 sequences, fewer than the 100"))));
  options = options_of(folder_.write("b.txt", corpora::counted_words(100, 9000)));
  EXPECT_THAT(opened(options).notes(), Contains(HasSubstr("--pack uses all of them")));
  options.cut = CorpusCut::packed;
  EXPECT_THAT(opened(options).notes(), Contains(HasSubstr("stands behind each document")));
  options.model_folder = bos_model;
  EXPECT_THAT(opened(options).notes(), Contains(HasSubstr("1 before, nothing behind")));
}

}  // namespace
}  // namespace bitmill
