#include "base/files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <thread>

#include "base/error.hpp"
#include "base/quiet_transfers.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::Throws;

auto file_error(const std::string& part) {
  return Throws<FileError>(Property(&FileError::what, HasSubstr(part)));
}
auto bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Files, WhatIsWrittenIsRead) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder / "data";
  const auto out = files->create(path);
  out->append(bytes("hello "));
  out->append(bytes("world"));
  out->write(0, bytes("J"));
  out->sync();
  out->close();
  EXPECT_EQ(read_text(*files, path), "Jello world");
  std::array<std::byte, 5> tail;
  files->open(path)->read(6, tail);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(tail.data()), 5), "world");
}

TEST(Files, ALinkThatLeadsNowhereIsBrokenUntilItsTargetIsMade) {
  const TempFolder folder;
  const auto files = posix_files();
  std::filesystem::create_symlink(folder / "later", folder / "link");
  EXPECT_TRUE(files->is_broken_link(folder / "link"));
  EXPECT_FALSE(files->exists(folder / "link"));
  EXPECT_FALSE(files->is_broken_link(folder / "later"));
  folder.write("later", "");
  EXPECT_FALSE(files->is_broken_link(folder / "link"));
}

TEST(Files, WhatSetsOutEarlyArrivesAsItIs) {
  const TempFolder folder;
  const std::string content(300'000, 'x');  // longer than one piece of advice to the system
  const auto out = posix_files()->create(folder / "data");
  out->write(0, bytes(content));
  out->begin_write_out(0, 300'000);
  out->begin_read(100'001, 199'999);
  out->begin_read(300'000, 1000);  // behind the end
  std::string back(content.size(), ' ');
  out->read(0, std::as_writable_bytes(std::span(back)));
  EXPECT_EQ(back, content);
  out->close();
  EXPECT_EQ(folder.read("data"), content);
}

TEST(Files, AppendingGoesOnWhereTheFileEnds) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder.write("log", "one\n");
  const auto out = files->open_append(path);
  out->append(bytes("two\n"));
  out->close();
  EXPECT_EQ(folder.read("log"), "one\ntwo\n");
}

TEST(Files, TwoAppendersLoseNothingOfEachOther) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder.write("log", "one\n");
  const auto first = files->open_append(path);
  const auto second = files->open_append(path);
  second->append(bytes("two\n"));
  first->append(bytes("three\n"));
  EXPECT_EQ(folder.read("log"), "one\ntwo\nthree\n");
}

TEST(Files, OneMakerOfAFolderWins) {
  const TempFolder folder;
  const auto files = posix_files();
  EXPECT_TRUE(files->make_directory(folder / "claim"));
  EXPECT_FALSE(files->make_directory(folder / "claim"));
  EXPECT_THAT([&] { files->make_directory(folder / "missing/claim"); },
              file_error("cannot make the folder"));
}

TEST(Files, AFolderDoesNotTakeThePlaceOfAFullOne) {
  const TempFolder folder;
  const auto files = posix_files();
  files->make_directory(folder / "a");
  files->make_directory(folder / "b");
  folder.write("b/x", "kept");
  EXPECT_THAT([&] { files->rename(folder / "a", folder / "b"); }, file_error("cannot rename"));
  EXPECT_EQ(folder.read("b/x"), "kept");
}

TEST(Files, TransfersAreCounted) {
  const TempFolder folder;
  const auto files = posix_files();
  const uint64_t before = file_transfers();
  read_text(*files, folder.write("data", "x"));
  EXPECT_EQ(file_transfers(), before + 1);
}

TEST(Files, QuietTransfersOfAThreadAreNotCounted) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder.write("data", "x");
  const uint64_t before = file_transfers();
  {
    const QuietTransfers quiet;
    read_text(*files, path);
    std::thread([&] { read_text(*files, path); }).join();
  }
  EXPECT_EQ(file_transfers(), before + 1);
  read_text(*files, path);
  EXPECT_EQ(file_transfers(), before + 2);
}

TEST(Files, AReadBeyondTheEndIsAnErrorThatSaysWhereTheFileEnds) {
  const TempFolder folder;
  const auto files = posix_files();
  const auto file = files->open(folder.write("short", "12345678"));
  std::array<std::byte, 10> into;
  const auto read = [&] { file->read(4, into); };
  EXPECT_THAT(read, file_error("ends at byte 8, 6 more were expected"));
  EXPECT_THAT(read, file_error(folder / "short"));
}

TEST(Files, AFullDiskIsReportedWithAdvice) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  const auto out = posix_files()->open_append("/dev/full");
  EXPECT_THAT([&] { out->append(bytes("x")); },
              AllOf(file_error("cannot write /dev/full: No space left on device"),
                    file_error("free some space")));
}

TEST(Files, MissingFilesAndFoldersAreNamed) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string missing = folder / "missing";
  EXPECT_THAT([&] { files->open(missing); }, file_error("cannot open " + missing));
  EXPECT_THAT([&] { files->list(missing); }, file_error(missing));
  EXPECT_THAT([&] { files->remove(missing); }, file_error(missing));
  EXPECT_THAT([&] { files->create(missing + "/file"); }, file_error("cannot create"));
  EXPECT_NO_THROW(files->remove_tree(missing));
  EXPECT_FALSE(files->exists(missing));
}

TEST(Files, AFolderCannotBeOpenedAsAFile) {
  const TempFolder folder;
  EXPECT_THAT([&] { posix_files()->open(folder.path()); }, file_error("Is a directory"));
}

TEST(Files, AFileLargerThanTheLimitIsNotRead) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder.write("text", "12345");
  EXPECT_EQ(read_text(*files, path, 5), "12345");
  EXPECT_THAT([&] { read_text(*files, path, 4); }, file_error("has 5 bytes; at most 4"));
}

TEST(Files, ReplacingAFileLeavesTheNewContentAndNothingElse) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder.write("state", "a much longer old content");
  replace_file(*files, path, "new");
  EXPECT_EQ(folder.read("state"), "new");
  EXPECT_THAT(files->list(folder.path()), ElementsAre("state"));
}

TEST(Files, AFailedReplacementLeavesTheOldContent) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path = folder.write("state", "old");
  files->make_directories(path + ".new");  // in the way of the file beside
  EXPECT_THROW(replace_file(*files, path, "new"), FileError);
  EXPECT_EQ(folder.read("state"), "old");
}

TEST(Files, ListedNamesAreSorted) {
  const TempFolder folder;
  for (const char* name : {"b", "a", "c/inside"}) folder.write(name, "");
  EXPECT_THAT(posix_files()->list(folder.path()), ElementsAre("a", "b", "c"));
}

TEST(Files, PathsAreJoinedAndTakenApart) {
  EXPECT_EQ(join_path("a/b", "c"), "a/b/c");
  EXPECT_EQ(join_path("a/b/", "c"), "a/b/c");
  EXPECT_EQ(parent_path("a/b/c"), "a/b");
  EXPECT_EQ(parent_path("c"), ".");
  EXPECT_EQ(file_name("a/b/c"), "c");
}

TEST(Files, APathLiesInAFolderByItsWholeNames) {
  EXPECT_TRUE(lies_in("/a/b", "/a"));
  EXPECT_TRUE(lies_in("/a", "/a"));
  EXPECT_TRUE(lies_in("/a", "/"));
  EXPECT_FALSE(lies_in("/ab", "/a"));
  EXPECT_FALSE(lies_in("/a", "/a/b"));
}

TEST(Files, ResolvingFollowsLinksAndKeepsWhatIsMissing) {
  const TempFolder folder;
  const auto files = posix_files();
  folder.write("real/file", "");
  std::filesystem::create_directory_symlink(folder / "real", folder / "link");
  const std::string real = files->resolve(folder / "real");
  EXPECT_EQ(files->resolve(folder / "link/./missing/../new/"), real + "/new");
  EXPECT_EQ(files->resolve("missing"), files->resolve(".") + "/missing");
  EXPECT_EQ(files->resolve("/"), "/");
}

TEST(Files, TheNearestExistingFolderIsFoundAndIsOnTheSameFileSystem) {
  const TempFolder folder;
  const auto files = posix_files();
  EXPECT_EQ(nearest_existing(*files, folder / "a/b/c"), folder.path());
  EXPECT_EQ(nearest_existing(*files, folder.path()), folder.path());
  EXPECT_EQ(nearest_existing(*files, "missing/too"), ".");
  EXPECT_TRUE(files->is_writable(folder.path()));
  EXPECT_FALSE(files->is_writable(folder / "missing"));
  const std::string file = folder.write("file", "");
  EXPECT_EQ(files->file_system(file), files->file_system(folder.path()));
}

}  // namespace
}  // namespace bitmill
