#include "format/partial_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "forwarding_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PartialFolderTest : public ::testing::Test {
 protected:
  // Fills and commits the folder.
  void make(const std::string& name = "out") {
    PartialFolder partial(*files_, work_ / name);
    replace_file(*files_, join_path(partial.path(), "data"), "whole");
    partial.commit();
  }

  const TempFolder work_;
  const std::string out_ = work_ / "out";
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(PartialFolderTest, CommitLeavesTheContentAndNothingElse) {
  make();
  EXPECT_THAT(files_->list(work_.path()), ElementsAre("out"));
  EXPECT_THAT(files_->list(out_), ElementsAre("data"));
}

TEST_F(PartialFolderTest, MissingFoldersOnTheWayAreMadeAndATrailingSlashMeansNothing) {
  make("a/b/");
  EXPECT_EQ(work_.read("a/b/data"), "whole");
  EXPECT_THAT(files_->list(work_ / "a"), ElementsAre("b"));
}

TEST_F(PartialFolderTest, AnEmptyFolderIsReplacedAlsoThroughALink) {
  files_->make_directories(work_ / "disk/real");
  std::filesystem::create_directory_symlink(work_ / "disk/real", out_);
  make();
  EXPECT_EQ(work_.read("disk/real/data"), "whole");
  EXPECT_TRUE(std::filesystem::is_symlink(out_));
}

TEST_F(PartialFolderTest, WhatIsNotCommittedIsRemoved) {
  { const PartialFolder partial(*files_, out_); }
  EXPECT_THAT(files_->list(work_.path()), IsEmpty());
}

TEST_F(PartialFolderTest, WhatAKilledJobLeftIsReplaced) {
  {
    const PartialFolder killed(*files_, out_);
    work_.write("out.partial/half/shard", "half");
    std::filesystem::copy(killed.path(), work_ / "copy", std::filesystem::copy_options::recursive);
  }
  std::filesystem::rename(work_ / "copy", work_ / "out.partial");
  make();
  EXPECT_THAT(files_->list(work_.path()), ElementsAre("out"));
  EXPECT_THAT(files_->list(out_), ElementsAre("data"));
}

TEST_F(PartialFolderTest, WhatSomebodyElseLeftIsRefusedAndKept) {
  work_.write("out.partial/model.safetensors", "precious");
  EXPECT_THAT([&] { make(); }, throws_with<UsageError>("out.partial is needed to write"));
  EXPECT_EQ(work_.read("out.partial/model.safetensors"), "precious");
  work_.write("file.partial", "precious");
  EXPECT_THAT([&] { make("file"); }, throws_with<UsageError>("file.partial is needed to write"));
  EXPECT_EQ(work_.read("file.partial"), "precious");
}

TEST_F(PartialFolderTest, WhatIsPutIntoThePlaceMeanwhileStays) {
  PartialFolder partial(*files_, out_);
  work_.write("out/mine", "precious");
  EXPECT_THAT([&] { partial.commit(); }, throws_with<UsageError>("is not an empty folder"));
  EXPECT_EQ(work_.read("out/mine"), "precious");
}

// Puts a file into the place at the last moment, after every check.
class RacingFiles final : public ForwardingFiles {
 public:
  explicit RacingFiles(const TempFolder& folder) : folder_(folder) {}
  void rename(const std::string& from, const std::string& to) override {
    folder_.write("out/mine", "precious");
    ForwardingFiles::rename(from, to);
  }

 private:
  const TempFolder& folder_;
};

TEST_F(PartialFolderTest, ARaceForThePlaceIsLostWithoutHarm) {
  RacingFiles racing(work_);
  {
    PartialFolder partial(racing, out_);
    EXPECT_THROW(partial.commit(), FileError);
  }
  EXPECT_EQ(work_.read("out/mine"), "precious");
  EXPECT_THAT(files_->list(work_.path()), ElementsAre("out"));
}

// A disk that refuses everything from a point on, cleaning up as well.
class BrokenFiles final : public ForwardingFiles {
 public:
  void rename(const std::string&, const std::string&) override { throw FileError("first error"); }
  void remove_tree(const std::string&) override { throw FileError("second error"); }
};

TEST_F(PartialFolderTest, AFailureOfTheCleanUpDoesNotHideTheError) {
  BrokenFiles broken;
  const auto job = [&] {
    PartialFolder partial(broken, out_);
    partial.commit();
  };
  EXPECT_THAT(job, throws_with<FileError>("first error"));
}

}  // namespace
}  // namespace bitmill
