#include "checkpoint/frontier_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "checkpoint/run_dir.hpp"
#include "memory_files.hpp"

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
  Frontier keep_two_parts() {
    Frontier frontier{2, 0, true, 8, packed_chain(dir_.state(), 2, 0), {}};
    frontier.parts.push_back(frontier_.write_part(0, {tensor("student.0", "aaaa")}));
    frontier.parts.push_back(frontier_.write_part(1, {tensor("student.1", "bbbb")}));
    frontier_.keep(frontier);
    return frontier;
  }
  std::string read(const FrontierReader& reader, const std::string& name, size_t size = 4) {
    std::string text(size, ' ');
    reader.read(name, std::as_writable_bytes(std::span(text)));
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
  EXPECT_FALSE(frontier_.kept());
  const Frontier written = keep_two_parts();
  const auto kept = frontier_.kept();
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->block, 2);
  EXPECT_EQ(kept->turn, 0);
  EXPECT_TRUE(kept->targets);
  EXPECT_EQ(kept->bytes, 8);
  EXPECT_EQ(kept->made_by, written.made_by);
  const FrontierReader reader(frontier_, *kept);
  EXPECT_EQ(read(reader, "student.0"), "aaaa");
  EXPECT_EQ(read(reader, "student.1"), "bbbb");
  EXPECT_THROW(read(reader, "student.2"), FormatError);
  EXPECT_THROW(read(reader, "student.1", 3), FormatError);
  frontier_.forget();
  EXPECT_FALSE(frontier_.kept());
}

TEST_F(FrontierFilesTest, OneFlippedBitIsFound) {
  keep_two_parts();
  const std::string whole = files_.get(path("0001.safetensors"));
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 1);
    files_.put(path("0001.safetensors"), damaged);
    EXPECT_THROW(
        {
          const FrontierReader reader(frontier_, *frontier_.kept());
          read(reader, "student.1");
        },
        FormatError)
        << byte;
  }
}

// A start that stopped again and died between its parts.
TEST_F(FrontierFilesTest, APartOfAnotherStopIsFound) {
  const Frontier kept = keep_two_parts();
  frontier_.write_part(1, {tensor("student.1", "cccc")});
  EXPECT_THROW(FrontierReader(frontier_, kept), FormatError);
}

TEST_F(FrontierFilesTest, PartsOfMoreReplicasAreRemoved) {
  Frontier kept = keep_two_parts();
  kept.parts.pop_back();
  frontier_.keep(kept);
  frontier_.remove_other_parts(kept);
  EXPECT_THAT(files_.list(path("")), testing::ElementsAre("0000.safetensors", "frontier.json"));
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
  EXPECT_FALSE(files_.exists(path("frontier.json")));
}

}  // namespace
}  // namespace bitmill
