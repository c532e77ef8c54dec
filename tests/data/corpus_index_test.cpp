#include "data/corpus_index.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corpus_files.hpp"
#include "format/failing_files.hpp"
#include "memory_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

IndexedFiles indexed_of(std::vector<std::string> paths, const std::string& scratch) {
  return {std::move(paths), "", "/no model", 1, scratch};
}

void index_all(Files& files, const IndexedFiles& indexed) {
  write_corpus_index(files, indexed, [](int64_t) {});
}

std::vector<std::string> texts_of(const CorpusIndex& index) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < index.documents(); ++i) texts.push_back(index.read(i).text);
  return texts;
}

TEST(CorpusIndex, DocumentsOfAllFilesFollowEachOther) {
  MemoryFiles files;
  files.put("/a.txt", "one<|endoftext|>\nthree\n");
  files.put("/b.jsonl", "{\"text\": \"\\u00e9\\n\"}\n");
  files.put("/c.txt.gz", corpora::gzip("packed"));
  files.put("/d.jsonl.zst", corpora::zstd("{\"text\": \"too\"}"));
  const auto indexed = indexed_of({"/a.txt", "/b.jsonl", "/c.txt.gz", "/d.jsonl.zst"}, "/scratch");
  EXPECT_FALSE(corpus_index_exists(files, indexed));
  index_all(files, indexed);
  EXPECT_TRUE(corpus_index_exists(files, indexed));
  const CorpusIndex index(files, indexed);
  EXPECT_THAT(texts_of(index), ElementsAre("one", "three", "\xC3\xA9\n", "packed", "too"));
  EXPECT_EQ(index.text_bytes(), 3 + 5 + 3 + 6 + 3);
  int64_t begin = 0;
  for (int64_t i = 0; i < index.documents(); ++i) {
    const IndexedDocument document = index.document(i);
    EXPECT_EQ(document.begin, begin);
    for (int64_t place = begin; place < document.end(); ++place) {
      EXPECT_EQ(index.document_at(place), i);
    }
    begin = document.end();
  }
}

TEST(CorpusIndex, WhatIsThereIsNotMadeAgain) {
  MemoryFiles files;
  files.put("/a.txt.gz", corpora::gzip("one"));
  const auto indexed = indexed_of({"/a.txt.gz"}, "/scratch");
  const CorpusDiskBytes before = corpus_index_bytes(files, indexed);
  EXPECT_EQ(before.unpacked, 3);
  index_all(files, indexed);
  EXPECT_GE(before.index, std::ssize(files.get(index_path(files, indexed))));
  const std::string unpacked = content_path(files, "/a.txt.gz", "/scratch");
  files.put(unpacked, "not made again");
  index_all(files, indexed);
  EXPECT_EQ(files.get(unpacked), "not made again");
  const CorpusDiskBytes after = corpus_index_bytes(files, indexed);
  EXPECT_EQ(after.unpacked, 0);
  EXPECT_EQ(after.index, 0);
  remove_corpus_index(files, indexed);
  EXPECT_EQ(files.list("/scratch").size(), 0u);
}

TEST(CorpusIndex, TheForecastOfTheIndexIsAnUpperBound) {
  MemoryFiles files;
  std::string content;
  for (int i = 0; i < 5000; ++i) content += "abc<|endoftext|>";
  files.put("/a.txt", content);
  auto indexed = indexed_of({"/a.txt"}, "/scratch");
  for (const int64_t least : {1, 3}) {
    indexed.least_bytes = least;
    const int64_t forecast = corpus_index_bytes(files, indexed).index;
    index_all(files, indexed);
    EXPECT_GE(forecast, std::ssize(files.get(index_path(files, indexed))));
  }
}

TEST(CorpusIndex, AFileThatChangedIsNoticedWhenItIsRead) {
  MemoryFiles files;
  files.put("/a.txt", "one<|endoftext|>two");
  const auto indexed = indexed_of({"/a.txt"}, "/scratch");
  index_all(files, indexed);
  {
    const CorpusIndex index(files, indexed);
    files.put("/a.txt", "one<|endoftext|>toe");
    EXPECT_EQ(index.read(0).text, "one");
    EXPECT_THAT(corpora::refusal<FormatError>([&] { index.read(1); }),
                AllOf(HasSubstr("/a.txt was changed"), HasSubstr("document 1, at byte 16")));
    files.put("/a.txt", "one<|endoftext|>two and more");
    EXPECT_THROW(index.read(0), FormatError);
  }
  EXPECT_THAT(corpora::refusal<UsageError>([&] { CorpusIndex(files, indexed); }),
              HasSubstr("there is no index of the corpus"));
}

TEST(CorpusIndex, AFileThatWasEditedToTheSameSizeIsIndexedAnew) {
  MemoryFiles files;
  files.put("/a.txt", "one<|endoftext|>two");
  files.put("/b.txt.gz", corpora::gzip("six"));
  const auto indexed = indexed_of({"/a.txt", "/b.txt.gz"}, "/scratch");
  index_all(files, indexed);
  const std::string hash = CorpusIndex(files, indexed).content_hash();
  files.put("/a.txt", "one<|endoftext|>toe");
  index_all(files, indexed);
  EXPECT_THAT(texts_of(CorpusIndex(files, indexed)), ElementsAre("one", "toe", "six"));
  EXPECT_NE(CorpusIndex(files, indexed).content_hash(), hash);
  ASSERT_EQ(corpora::gzip("ten").size(), corpora::gzip("six").size());
  files.put("/b.txt.gz", corpora::gzip("ten"));
  index_all(files, indexed);
  EXPECT_THAT(texts_of(CorpusIndex(files, indexed)), ElementsAre("one", "toe", "ten"));
}

TEST(CorpusIndex, WhoListensMayEndTheWork) {
  MemoryFiles files;
  files.put("/a.txt.gz", corpora::gzip(std::string(3'000'000, 'x')));
  const auto indexed = indexed_of({"/a.txt.gz"}, "/scratch");
  int64_t done = 0;
  const auto stop_after = [&](int64_t most) {
    return [&done, most](int64_t bytes) {
      done += bytes;
      if (done > most) throw StopError("stopped");
    };
  };
  for (const int64_t most : {1'000'000, 4'000'000}) {  // while it unpacks, while it indexes
    done = 0;
    EXPECT_THROW(write_corpus_index(files, indexed, stop_after(most)), StopError);
    EXPECT_FALSE(files.exists(index_path(files, indexed)));
    for (const auto& name : files.list("/scratch")) EXPECT_EQ(name.find(".new"), name.npos);
  }
  index_all(files, indexed);
  EXPECT_EQ(CorpusIndex(files, indexed).text_bytes(), 3'000'000);
}

TEST(CorpusIndex, ALongFirstLineOfJsonIsReadAsJson) {
  MemoryFiles files;
  files.put("/a", "{\"text\": \"" + std::string(3'000'000, 'x') + "\"}\n{\"text\": \"y\"}\n");
  const auto indexed = indexed_of({"/a"}, "/scratch");
  index_all(files, indexed);
  EXPECT_EQ(CorpusIndex(files, indexed).text_bytes(), 3'000'001);
}

TEST(CorpusIndex, WhatWasCompressedTwiceIsRefused) {
  MemoryFiles files;
  files.put("/a.txt.gz", corpora::gzip(corpora::zstd("text")));
  const auto indexed = indexed_of({"/a.txt.gz"}, "/scratch");
  EXPECT_THAT(corpora::refusal<FormatError>([&] { index_all(files, indexed); }),
              HasSubstr("/a.txt.gz was compressed twice"));
}

TEST(CorpusIndex, EveryFlippedBitAndEveryCutOfAnIndexIsNoticed) {
  MemoryFiles files;
  files.put("/a.txt", "one<|endoftext|>two");
  const auto indexed = indexed_of({"/a.txt"}, "/scratch");
  index_all(files, indexed);
  const std::string path = index_path(files, indexed), good = files.get(path);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    files.put(path, bad);
    EXPECT_THROW(CorpusIndex(files, indexed), FormatError) << bit;
  }
  for (size_t length = 0; length < good.size(); ++length) {
    files.put(path, good.substr(0, length));
    EXPECT_THROW(CorpusIndex(files, indexed), FormatError) << length;
  }
}

// Every write fails once: the error names the folder, and only whole files have final names.
TEST(CorpusIndex, ADiskThatFillsLeavesNothingHalf) {
  const TempFolder folder;
  const std::string text = corpora::counted_words(0, 1000);
  const std::string path = folder.write("a.txt.gz", corpora::gzip(text));
  int failures = 0;
  for (int fail_at = 0;; ++fail_at) {
    const std::string scratch = folder / fmt::format("scratch-{}", fail_at);
    const auto indexed = indexed_of({path}, scratch);
    FailingFiles failing(fail_at);
    const std::string refused = corpora::refusal<FileError>([&] { index_all(failing, indexed); });
    if (!failing.failed()) break;
    ++failures;
    EXPECT_THAT(refused, HasSubstr("injected"));
    const auto files = posix_files();
    if (files->exists(scratch)) {
      EXPECT_THAT(refused, AllOf(HasSubstr(scratch), HasSubstr("--scratch-dir")));
      for (const std::string& name : files->list(scratch)) {
        EXPECT_EQ(name.find(".new"), name.npos) << name;
      }
    }
    index_all(*files, indexed);
    EXPECT_THAT(texts_of(CorpusIndex(*files, indexed)), ElementsAre(text));
  }
  EXPECT_GE(failures, 10);
}

TEST(CorpusIndex, ATextOfBlanksAndAnEmptyFileAreRefused) {
  MemoryFiles files;
  files.put("/blank.txt", " \n<|endoftext|>\n");
  files.put("/empty.txt", "");
  files.put("/empty.txt.gz", corpora::gzip(""));
  files.put("/short.txt", "abc<|endoftext|>abcd");
  const auto refused = [&](const std::string& path, int64_t least) {
    auto indexed = indexed_of({path}, "/scratch");
    indexed.least_bytes = least;
    return corpora::refusal([&] { index_all(files, indexed); });
  };
  EXPECT_THAT(refused("/blank.txt", 1), HasSubstr("/blank.txt: there are only blanks"));
  EXPECT_THAT(refused("/empty.txt", 1), HasSubstr("/empty.txt is empty"));
  EXPECT_THAT(refused("/empty.txt.gz", 1), HasSubstr("/empty.txt.gz is empty"));
  EXPECT_THAT(refused("/short.txt", 5),
              HasSubstr("no document is long enough: the longest of 2 has 4 bytes"));
}

TEST(CorpusIndex, OtherKindsOfFilesAreRefusedByWhatTheyAre) {
  MemoryFiles files;
  files.put("/table", "PAR1 and more");
  files.put("/text.txt", "a text");
  const auto refused = [&](const std::string& path, const std::string& key) {
    auto indexed = indexed_of({path}, "/scratch");
    indexed.text_key = key;
    return corpora::refusal<UsageError>([&] { index_all(files, indexed); });
  };
  EXPECT_THAT(refused("/table", ""), HasSubstr("/table is no text, but a Parquet table"));
  EXPECT_THAT(refused("/text.txt", "body"), HasSubstr("--text-key body has no effect"));
}

}  // namespace
}  // namespace bitmill
