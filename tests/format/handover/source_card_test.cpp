#include "format/handover/source_card.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;

class SourceCardTest : public ::testing::Test {
 protected:
  SourceCard read(const std::string& text) {
    folder_.write("README.md", text);
    set_source_card_aside(*files_, folder_.path());
    return read_source_card(*files_, folder_.path());
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(SourceCardTest, ItIsKeptUnderAnotherNameByteForByte) {
  const std::string text = "---\nlicense: mit\n---\n# A model\n";
  EXPECT_EQ(read(text).file, "SOURCE_README.md");
  EXPECT_THAT(files_->list(folder_.path()), ElementsAre("SOURCE_README.md"));
  EXPECT_EQ(folder_.read("SOURCE_README.md"), text);
}

TEST_F(SourceCardTest, LicenceIsTakenFromTheFrontMatter) {
  const SourceCard card = read(
      "---\r\nlanguage:\n- en\nlicense: \"other\"  \r\nlicense_name: llama3.1\n"
      "license_link: https://x.org/LICENSE\n---\nlicense: gpl\n");
  EXPECT_EQ(card.license, "other");
  EXPECT_EQ(card.license_name, "llama3.1");
  EXPECT_EQ(card.license_link, "https://x.org/LICENSE");
}

TEST_F(SourceCardTest, WhatIsNoPlainWordIsNotTaken) {
  for (const char* value :
       {"", "a b", "[mit, gpl]", "&anchor", "*alias", "|", "- x", "x:", "\x01"}) {
    EXPECT_EQ(read("---\nlicense: " + std::string(value) + "\n---\n").license, "") << value;
  }
  EXPECT_EQ(read("license: mit\n").license, "");
  EXPECT_EQ(read("# Title\n---\nlicense: mit\n---\n").license, "");
}

TEST_F(SourceCardTest, OneOfOursIsRemovedAndTheKeptOneStays) {
  folder_.write("SOURCE_README.md", "---\nlicense: mit\n---\n");
  const SourceCard card = read("---\n---\n" + std::string(our_card_line) + "\n");
  EXPECT_EQ(card.file, "SOURCE_README.md");
  EXPECT_EQ(card.license, "mit");
  EXPECT_THAT(files_->list(folder_.path()), ElementsAre("SOURCE_README.md"));
}

TEST_F(SourceCardTest, NothingIsOverwritten) {
  folder_.write("SOURCE_README.md", "first");
  EXPECT_THAT(read("second").others, ElementsAre("SOURCE_README.2.md"));
  EXPECT_THAT(read("third").others, ElementsAre("SOURCE_README.2.md", "SOURCE_README.3.md"));
  EXPECT_EQ(folder_.read("SOURCE_README.md"), "first");
  EXPECT_EQ(folder_.read("SOURCE_README.2.md"), "second");
}

// A packed folder's card that its user has changed is not the base model's own.
TEST_F(SourceCardTest, TheFirstCardIsTheSourcesAndItsLicenceCounts) {
  folder_.write("SOURCE_README.md", "---\nlicense: mit\n---\n");
  const SourceCard card = read("---\nlicense: other\nlicense_name: x\n---\nmine\n");
  EXPECT_EQ(card.file, "SOURCE_README.md");
  EXPECT_THAT(card.others, ElementsAre("SOURCE_README.2.md"));
  EXPECT_EQ(card.license, "mit");
  EXPECT_EQ(card.license_name, "");
  EXPECT_EQ(card.license_file, "SOURCE_README.md");
}

TEST_F(SourceCardTest, WhereTheFirstNamesNoLicenceThatOfALaterOneIsTaken) {
  folder_.write("SOURCE_README.md", "# A model\n");
  folder_.write("SOURCE_README.2.md", "---\nlicense: mit\n---\n");
  const SourceCard card = read("---\nlicense: gpl\n---\n");
  EXPECT_EQ(card.file, "SOURCE_README.md");
  EXPECT_EQ(card.license, "mit");
  EXPECT_EQ(card.license_file, "SOURCE_README.2.md");
}

TEST_F(SourceCardTest, AFolderWithoutACardHasNone) {
  set_source_card_aside(*files_, folder_.path());
  EXPECT_EQ(read_source_card(*files_, folder_.path()).file, "");
}

}  // namespace
}  // namespace bitmill
