// Paths that look fine, and at which nothing can be made in the end.

#include "pipeline/checks/place_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "pipeline/pretended_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class Places : public testing::Test {
 protected:
  std::string folder(const std::string& path) { return folder_problem(files_, "--x", path); }
  std::string result(const std::string& path) { return result_folder_problem(files_, "--x", path); }
  std::string file(const std::string& path) { return file_problem(files_, "--x", path); }

  const TempFolder folder_;
  PretendedFiles files_;
};

TEST_F(Places, NothingIsSaidWhereThingsCanBeMade) {
  for (const char* name : {"new", "new/inner/one"}) {
    EXPECT_EQ(folder(folder_ / name), "");
    EXPECT_EQ(result(folder_ / name), "");
  }
  EXPECT_EQ(file(folder_ / "new"), "");
  folder_.write("there", "");
  EXPECT_EQ(file(folder_ / "there"), "");
  EXPECT_EQ(folder("relative-name"), "");
}

TEST_F(Places, ALinkThatLeadsNowhereIsNamedAnywhereOnTheWay) {
  std::filesystem::create_symlink(folder_ / "gone", folder_ / "link");
  for (const char* name : {"link", "link/inner", "link/a/b"}) {
    EXPECT_THAT(folder(folder_ / name),
                AllOf(StartsWith("--x " + folder_ / name), HasSubstr(folder_ / "link is a link")));
    EXPECT_THAT(result(folder_ / name), HasSubstr(folder_ / "link is a link"));
  }
  EXPECT_THAT(file(folder_ / "link/file"), HasSubstr("there is no folder"));
  // A link to a folder is no obstacle.
  std::filesystem::create_directory(folder_ / "gone");
  EXPECT_EQ(folder(folder_ / "link"), "");
  EXPECT_EQ(result(folder_ / "link"), "");
}

TEST_F(Places, AFileInTheWayIsNamed) {
  folder_.write("file", "");
  EXPECT_THAT(folder(folder_ / "file"), HasSubstr("is a file and no folder"));
  EXPECT_THAT(folder(folder_ / "file/inner"), HasSubstr("is a file and no folder"));
  EXPECT_THAT(result(folder_ / "file/inner"), HasSubstr("is a file and no folder"));
  EXPECT_THAT(file(folder_ / "file/inner"), HasSubstr("there is no folder"));
}

TEST_F(Places, AFolderWhereAFileIsMadeIsNamed) {
  std::filesystem::create_directories(folder_ / "a");
  EXPECT_THAT(file(folder_ / "a"), HasSubstr("is a folder"));
  std::filesystem::create_directories(folder_ / "b.new");
  EXPECT_THAT(file(folder_ / "b"), HasSubstr("b.new is a folder"));
}

TEST_F(Places, WhereNothingCanBeWrittenIsNamed) {
  std::filesystem::create_directories(folder_ / "closed");
  files_.read_only = files_.resolve(folder_ / "closed");
  for (const std::string& problem : {folder(folder_ / "closed"), folder(folder_ / "closed/a"),
                                     result(folder_ / "closed/a"), file(folder_ / "closed/a")}) {
    EXPECT_THAT(problem, AllOf(HasSubstr("nothing can be written to"), HasSubstr("read-only")));
  }
  // A result replaces its folder, so it needs the folder around it.
  EXPECT_EQ(result(folder_ / "closed"), "");
}

TEST_F(Places, ANameThatGetsTooLongInTheLastStepIsNamed) {
  EXPECT_EQ(result(folder_ / std::string(247, 'n')), "");
  EXPECT_THAT(result(folder_ / std::string(248, 'n')), HasSubstr("256 bytes with \".partial\""));
  EXPECT_EQ(folder(folder_ / std::string(255, 'n')), "");
  EXPECT_EQ(file(folder_ / std::string(251, 'n')), "");
  EXPECT_THAT(file(folder_ / std::string(252, 'n')), HasSubstr("\".new\""));
}

TEST_F(Places, AMountPointIsNoPlaceForAResult) {
  std::filesystem::create_directories(folder_ / "disk");
  files_.devices = {{files_.resolve(folder_ / "disk"), 2}};
  EXPECT_THAT(result(folder_ / "disk"), HasSubstr("is a mount point"));
  EXPECT_EQ(result(folder_ / "disk/new"), "");
  EXPECT_EQ(folder(folder_ / "disk"), "");
}

}  // namespace
}  // namespace bitmill
