#include "data/corpus_unpack.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corpus_files.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;

std::string content_of(const std::string& packed, const std::string& path = "/a") {
  MemoryFiles files;
  files.put(path, packed);
  std::string content;
  const int64_t bytes =
      read_content(files, path, [&](std::string_view piece) { content += piece; });
  EXPECT_EQ(bytes, std::ssize(content));
  return content;
}

// Longer than one piece, and not all alike.
std::string long_content() {
  std::string content;
  for (int64_t i = 0; std::ssize(content) < 3'000'001; ++i)
    content += std::to_string(i * i) + " word\n";
  return content;
}

TEST(CorpusUnpack, ContentIsTheSameHoweverItIsPacked) {
  for (const std::string& content :
       {std::string("one line\n"), std::string(), long_content(), std::string(5'000'000, 'x')}) {
    EXPECT_EQ(content_of(content), content);
    EXPECT_EQ(content_of(corpora::gzip(content)), content);
    EXPECT_EQ(content_of(corpora::zstd(content)), content);
  }
}

TEST(CorpusUnpack, PartsBehindEachOtherAreOneContent) {
  EXPECT_EQ(content_of(corpora::gzip("one ") + corpora::gzip("") + corpora::gzip("two")),
            "one two");
  EXPECT_EQ(content_of(corpora::zstd("one ") + corpora::zstd("") + corpora::zstd("two")),
            "one two");
}

TEST(CorpusUnpack, ZerosBehindAGzipFileAreNothing) {
  EXPECT_EQ(content_of(corpora::gzip("text") + std::string(2'000'000, '\0')), "text");
}

TEST(CorpusUnpack, SomethingElseBehindACompressedFileIsRefused) {
  for (const std::string& packed : {corpora::gzip("text"), corpora::zstd("text")}) {
    EXPECT_THROW(content_of(packed + "more"), FormatError);
  }
  EXPECT_THROW(content_of(corpora::gzip("text") + std::string(4, '\0') + corpora::gzip("more")),
               FormatError);
}

TEST(CorpusUnpack, AFileThatEndsAnywhereTooEarlyIsRefused) {
  const std::string content = corpora::counted_words(0, 60);
  for (const std::string& packed : {corpora::gzip(content), corpora::zstd(content)}) {
    for (size_t length = 4; length < packed.size(); ++length) {
      EXPECT_THAT(
          corpora::refusal<FormatError>([&] { content_of(packed.substr(0, length), "/a.z"); }),
          HasSubstr("/a.z ends early"));
    }
  }
}

// The last byte of compressed data may have bits that mean nothing.
TEST(CorpusUnpack, AFlippedBitInAGzipFileChangesNoContentUnseen) {
  const std::string content = corpora::counted_words(0, 20);
  const std::string good = corpora::gzip(content);
  size_t unseen = 0;
  for (size_t bit = 10 * 8; bit < good.size() * 8; ++bit) {  // behind the header
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    try {
      EXPECT_EQ(content_of(bad), content) << bit;
      ++unseen;
    } catch (const FormatError&) {  // seen
    }
  }
  EXPECT_LT(unseen, 8u);
}

TEST(CorpusUnpack, ANameThatPromisesCompressionIsHeldToIt) {
  EXPECT_THAT(corpora::refusal<FormatError>([] { content_of("a text", "/a.txt.gz"); }),
              HasSubstr("/a.txt.gz is not compressed as its name says"));
  EXPECT_THAT(corpora::refusal<FormatError>([] { content_of("", "/a.zst"); }),
              HasSubstr("it is empty"));
  EXPECT_EQ(name_of_content("/a.jsonl.gz"), "/a.jsonl");
  EXPECT_EQ(name_of_content("/a.txt.zst"), "/a.txt");
  EXPECT_EQ(name_of_content("/a.gz.txt"), "/a.gz.txt");
}

}  // namespace
}  // namespace bitmill
