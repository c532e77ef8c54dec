#include "checkpoint/frontier_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "checkpoint/run_dir.hpp"
#include "forwarding_files.hpp"
#include "memory_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

class FrontierFilesTest : public testing::Test {
 protected:
  FrontierFilesTest() {
    dir_.begin({"{}", {"cpu"}});
    for (const int block : {0, 1}) {
      dir_.write_packed(block, 0, true, {tensor("packed", std::to_string(block))});
    }
  }

  static TensorSource tensor(const std::string& name, const std::string& text) {
    return {name, Dtype::uint8, {std::ssize(text)}, [text](const ByteSink& sink) {
              sink(std::as_bytes(std::span(text)));
            }};
  }
  // The samples 0 and 1 of a stream.
  void keep_two_parts(const std::string& made_by = "a") {
    frontier_.write_part("student-0002.0", made_by, 0, {tensor("0", "aaaa")});
    frontier_.write_part("student-0002.0", made_by, 1, {tensor("1", "bbbb")});
  }
  KeptStream kept(const std::string& name = "student-0002.0") const {
    return frontier_.list().at(name);
  }
  static std::string read(const FrontierReader& reader, int64_t sample, size_t size = 4) {
    std::string text(size, ' ');
    reader.read(sample, std::as_writable_bytes(std::span(text)));
    return text;
  }
  std::string path(const std::string& name) const {
    return claim_->state_path() + "/streams/" + name;
  }

  MemoryFiles files_;
  const std::unique_ptr<Claim> claim_ =
      Claim::take(files_, "/run", {"h", 1, "", "", "", "t"}, {}, [](auto&) {});
  RunDir dir_{files_, *claim_};
  FrontierFiles frontier_{files_, *claim_};
};

TEST_F(FrontierFilesTest, WhatIsKeptIsReadBack) {
  EXPECT_TRUE(frontier_.list().empty());
  keep_two_parts();
  frontier_.write_part("teacher-0003", "", 0, {tensor("0", "cccc")});
  EXPECT_EQ(frontier_.list().size(), 2U);
  EXPECT_EQ(kept().trouble, "");
  EXPECT_EQ(kept().made_by, "a");
  EXPECT_EQ(kept().samples, 2);
  EXPECT_EQ(kept().bytes, 8);
  EXPECT_EQ(kept("teacher-0003").samples, 1);
  const FrontierReader reader(frontier_, kept());
  EXPECT_EQ(read(reader, 0), "aaaa");
  EXPECT_EQ(read(reader, 1), "bbbb");
  EXPECT_THROW(read(reader, 2), FormatError);
  EXPECT_THROW(read(reader, 1, 3), FormatError);
  frontier_.remove(kept());
  EXPECT_THAT(files_.list(path("")), testing::ElementsAre("teacher-0003.0000.safetensors"));
}

TEST_F(FrontierFilesTest, OneFlippedBitIsFound) {
  keep_two_parts();
  const std::string part = path("student-0002.0.0001.safetensors"), whole = files_.get(part);
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 1);
    files_.put(part, damaged);
    const KeptStream found = kept();
    if (!found.trouble.empty()) continue;
    EXPECT_THROW(read(FrontierReader(frontier_, found), 1), FormatError) << byte;
  }
}

// A start that was killed between its parts, and what other starts have left.
TEST_F(FrontierFilesTest, PartsThatDoNotBelongTogetherAreFound) {
  keep_two_parts();
  frontier_.write_part("student-0002.0", "b", 1, {tensor("1", "cccc")});
  EXPECT_THAT(kept().trouble, testing::HasSubstr("other blocks have made it"));
  frontier_.write_part("student-0002.0", "a", 1, {tensor("0", "aaaa")});
  EXPECT_THAT(kept().trouble, testing::HasSubstr("another part has sample 0, too"));
  frontier_.write_part("student-0002.0", "a", 1, {tensor("1", "bbbb")});
  EXPECT_EQ(kept().trouble, "");
  files_.rename(path("student-0002.0.0001.safetensors"), path("student-0009.0.0001.safetensors"));
  EXPECT_EQ(kept().samples, 1);
  EXPECT_THAT(kept("student-0009.0").trouble,
              testing::HasSubstr("belongs to the stream \"student-0002.0\""));
}

// On a full disk, what was written of it must not take room.
TEST(FrontierParts, APartThatCannotBeWrittenLeavesNothing) {
  struct FullDisk final : ForwardingFiles {
    bool full = false;
    void rename(const std::string& from, const std::string& to) override {
      if (full) throw FileError("no space left for " + to);
      ForwardingFiles::rename(from, to);
    }
  } disk;
  const TempFolder folder;
  const auto claim = Claim::take(disk, folder / "run", {"h", 1, "", "", "", "t"}, {}, [](auto&) {});
  RunDir(disk, *claim).begin({"{}", {"cpu"}});
  disk.full = true;
  FrontierFiles frontier(disk, *claim);
  const auto produce = [](const ByteSink& sink) { sink(std::vector<std::byte>(4)); };
  EXPECT_THROW(frontier.write_part("teacher-0003", "", 0, {{"0", Dtype::uint8, {4}, produce}}),
               FileError);
  EXPECT_THAT(disk.list(claim->state_path() + "/streams"), testing::IsEmpty());
}

TEST_F(FrontierFilesTest, AnotherPackedBlockMakesOtherStreams) {
  const std::string before = packed_chain(dir_.state(), 2, 0);
  EXPECT_NE(packed_chain(dir_.state(), 1, 0), before);
  EXPECT_THROW(packed_chain(dir_.state(), 3, 0), FileError);
  dir_.write_packed(1, 0, true, {tensor("packed", "other")});
  EXPECT_NE(packed_chain(dir_.state(), 2, 0), before);
}

TEST_F(FrontierFilesTest, AFinishedRunKeepsNone) {
  keep_two_parts();
  dir_.finish();
  EXPECT_FALSE(files_.exists(path("student-0002.0.0000.safetensors")));
}

}  // namespace
}  // namespace bitmill
