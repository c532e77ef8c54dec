// Headers that lie, each in its own way.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/safetensors_text.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Pair;

class SafetensorsFileTest : public ::testing::Test {
 protected:
  SafetensorsFile open(const std::string& content) {
    return SafetensorsFile(*files_, folder_.write("a.safetensors", content));
  }
  auto opening(const std::string& header, size_t data_bytes) {
    return [this, content = safetensors_text(header, data_bytes)] { open(content); };
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(SafetensorsFileTest, AnHonestFileIsRead) {
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "F32", "[2,1]", "[2,10]") + "," +
      entry("a", "F16", "[]", "[0,2]") + "," + entry("none", "I64", "[0,7]", "[2,2]") + "}  ";
  const SafetensorsFile file = open(safetensors_text(header, 10));
  EXPECT_THAT(file.metadata(), ElementsAre(Pair("format", "pt")));
  EXPECT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.info("b").dtype, Dtype::float32);
  EXPECT_THAT(file.info("b").shape, ElementsAre(2, 1));
  EXPECT_EQ(file.info("a").elements(), 1);
  EXPECT_EQ(file.info("none").bytes, 0);
  EXPECT_EQ(file.info("b").offset, 8 + static_cast<int64_t>(header.size()) + 2);
  std::array<std::byte, 8> bytes;
  file.read(file.info("b"), bytes);
  EXPECT_EQ(bytes[0], std::byte{2});
  EXPECT_EQ(bytes[7], std::byte{9});
  file.read_part(file.info("b"), 5, std::span(bytes).first(2));
  EXPECT_EQ(bytes[0], std::byte{7});
  EXPECT_THAT([&] { file.info("c"); }, throws_with<FormatError>("holds no tensor \"c\""));
}

TEST_F(SafetensorsFileTest, AFileTooShortForALengthIsTruncated) {
  EXPECT_THAT([&] { open("12345"); }, throws_with<FormatError>("is truncated: it has 5 bytes"));
  EXPECT_THAT([&] { open(""); }, throws_with<FormatError>("is truncated: it has 0 bytes"));
}

TEST_F(SafetensorsFileTest, AHeaderLongerThanTheFileIsTruncated) {
  const std::string whole = safetensors_text("{" + entry("a", "U8", "[4]", "[0,4]") + "}", 4);
  EXPECT_THAT([&] { open(whole.substr(0, 30)); },
              AllOf(throws_with<FormatError>("is truncated: it has 30 bytes"),
                    throws_with<FormatError>("its header ends at byte " +
                                             std::to_string(whole.size() - 4))));
}

TEST_F(SafetensorsFileTest, EveryTruncationIsRefusedAndNamesBothSizes) {
  const std::string whole = safetensors_text("{" + entry("a", "U8", "[40]", "[0,40]") + "}", 40);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT([&] { open(whole.substr(0, size)); }, throws_with<FormatError>("is truncated"));
  }
  EXPECT_THAT([&] { open(whole.substr(0, whole.size() - 1)); },
              AllOf(throws_with<FormatError>("it has " + std::to_string(whole.size() - 1)),
                    throws_with<FormatError>("ends at byte " + std::to_string(whole.size()))));
}

TEST_F(SafetensorsFileTest, AnImpossibleHeaderLengthIsRefused) {
  EXPECT_THAT([&] { open(std::string(64, '\xff')); },
              throws_with<FormatError>("claims a header of 18446744073709551615 bytes"));
  std::string text(8, '\0');
  const uint64_t length = 100'000'001;
  std::memcpy(text.data(), &length, 8);
  EXPECT_THAT([&] { open(text); }, throws_with<FormatError>("at most 100000000"));
}

TEST_F(SafetensorsFileTest, AGitLfsPointerIsRecognised) {
  EXPECT_THAT([&] { open("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"); },
              throws_with<FormatError>("git lfs pull"));
}

TEST_F(SafetensorsFileTest, AFileThatWasNotWrittenToItsEndIsRefused) {
  EXPECT_THAT([&] { open(std::string(64, '\0')); },
              throws_with<FormatError>("was not written completely"));
}

TEST_F(SafetensorsFileTest, AHeaderThatIsNotJsonIsRefused) {
  EXPECT_THAT(opening("{\"a\":", 0), throws_with<FormatError>("is not valid JSON"));
  EXPECT_THAT(opening("[]", 0), throws_with<FormatError>("does not begin with '{'"));
  EXPECT_THAT(opening(" {}", 0), throws_with<FormatError>("does not begin with '{'"));
  EXPECT_THAT(opening("{\"\xff\":1}", 0), throws_with<FormatError>("is not valid JSON"));
  EXPECT_THAT(opening("{\"a\":" + std::string(100000, '['), 0),
              throws_with<FormatError>("nested deeper"));
}

TEST_F(SafetensorsFileTest, ATensorNamedTwiceIsRefused) {
  const std::string one = entry("a", "U8", "[4]", "[0,4]");
  EXPECT_THAT(opening("{" + one + "," + one + "}", 4),
              throws_with<FormatError>("the key \"a\" occurs twice"));
  EXPECT_THAT(opening(R"({"a":{"dtype":"U8","dtype":"F32","shape":[4],"data_offsets":[0,4]}})", 4),
              throws_with<FormatError>("\"dtype\" occurs twice"));
}

TEST_F(SafetensorsFileTest, TheSameKeyInTwoTensorsIsNotADuplicate) {
  EXPECT_NO_THROW(opening(
      "{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[4]", "[4,8]") + "}", 8)());
}

TEST_F(SafetensorsFileTest, AnUnknownDtypeIsRefusedAndAKnownUnusedOneIsNot) {
  EXPECT_THAT(opening("{" + entry("a", "F17", "[4]", "[0,8]") + "}", 8),
              throws_with<FormatError>("\"a\": unknown dtype \"F17\""));
  const std::string f64 = "{" + entry("a", "F64", "[1]", "[0,8]") + "}";
  EXPECT_EQ(open(safetensors_text(f64, 8)).info("a").dtype, Dtype::other);
  EXPECT_THAT(opening("{" + entry("a", "F64", "[2]", "[0,8]") + "}", 8),
              throws_with<FormatError>("F64 [2] takes 16 bytes"));
  EXPECT_THAT(opening("{" + entry("a", "F4", "[3]", "[0,2]") + "}", 2),
              throws_with<FormatError>("do not fill whole bytes"));
}

TEST_F(SafetensorsFileTest, AShapeThatDisagreesWithItsBytesIsRefused) {
  EXPECT_THAT(
      opening("{" + entry("a", "F32", "[2,3]", "[0,20]") + "}", 20),
      throws_with<FormatError>("F32 [2, 3] takes 24 bytes, and data_offsets [0, 20] hold 20"));
}

TEST_F(SafetensorsFileTest, ANegativeOrFractionalDimensionIsRefused) {
  EXPECT_THAT(opening("{" + entry("a", "U8", "[-4]", "[0,4]") + "}", 4),
              throws_with<FormatError>("\"shape\" holds -4"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[-2,-2]", "[0,4]") + "}", 4),
              throws_with<FormatError>("\"shape\" holds -2"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[4.0]", "[0,4]") + "}", 4),
              throws_with<FormatError>("\"shape\" holds 4.0"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[\"4\"]", "[0,4]") + "}", 4),
              throws_with<FormatError>("\"shape\" holds \"4\""));
}

TEST_F(SafetensorsFileTest, ASizeThatOverflowsIsRefused) {
  // 2^32 x 2^32 x 4 bytes is 0 in 64 bits.
  EXPECT_THAT(opening("{" + entry("a", "F32", "[4294967296,4294967296]", "[0,0]") + "}", 0),
              throws_with<FormatError>("overflows 64 bits"));
  EXPECT_THAT(opening("{" + entry("a", "F32", "[4611686018427387904]", "[0,0]") + "}", 0),
              throws_with<FormatError>("overflows 64 bits"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[18446744073709551616]", "[0,0]") + "}", 0),
              throws_with<FormatError>("whole numbers from 0 to 2^63 - 1"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[9223372036854775808]", "[0,0]") + "}", 0),
              throws_with<FormatError>("whole numbers from 0 to 2^63 - 1"));
}

TEST_F(SafetensorsFileTest, OffsetsThatAreNotARangeAreRefused) {
  for (const char* offsets : {"[4,0]", "[0]", "[0,4,8]", "[]"}) {
    EXPECT_THAT(opening("{" + entry("a", "U8", "[4]", offsets) + "}", 4),
                throws_with<FormatError>("are not a range"))
        << offsets;
  }
  EXPECT_THAT(opening("{" + entry("a", "U8", "[4]", "[-4,0]") + "}", 4),
              throws_with<FormatError>("\"data_offsets\" holds -4"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[4]", "4") + "}", 4),
              throws_with<FormatError>("\"data_offsets\" must be a list"));
}

TEST_F(SafetensorsFileTest, TensorsThatOverlapAreRefused) {
  EXPECT_THAT(
      opening("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[4]", "[3,7]") + "}",
              7),
      throws_with<FormatError>("tensor \"b\" begins at data byte 3, and \"a\" before it "
                               "ends at 4: they overlap"));
  EXPECT_THAT(
      opening("{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("b", "U8", "[0]", "[4,4]") + "}",
              8),
      throws_with<FormatError>("they overlap"));
}

TEST_F(SafetensorsFileTest, BytesThatBelongToNothingAreRefused) {
  EXPECT_THAT(
      opening("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[4]", "[5,9]") + "}",
              9),
      throws_with<FormatError>("tensor \"b\" begins at data byte 5"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[4]", "[1,5]") + "}", 5),
              throws_with<FormatError>("the bytes between belong to nothing"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[4]", "[0,4]") + "}", 5),
              throws_with<FormatError>("the rest belongs to nothing"));
}

TEST_F(SafetensorsFileTest, DataBeyondTheEndOfTheFileIsRefused) {
  const std::string huge = "1152921504606846975";  // the most bytes whose bits fit 63 bits
  EXPECT_THAT(opening("{" + entry("a", "U8", "[" + huge + "]", "[0," + huge + "]") + "}", 5),
              throws_with<FormatError>("is truncated"));
  EXPECT_THAT(opening("{" + entry("a", "U8", "[1]", "[1152921504606846974," + huge + "]") + "}", 5),
              throws_with<FormatError>("belong to nothing"));
}

TEST_F(SafetensorsFileTest, AnEntryOfAnotherKindIsRefused) {
  EXPECT_THAT(opening("{\"a\":1}", 0), throws_with<FormatError>("\"a\": must be an object"));
  EXPECT_THAT(opening("{\"a\":{}}", 0), throws_with<FormatError>("\"dtype\" is missing"));
  EXPECT_THAT(opening("{\"__metadata__\":[]}", 0), throws_with<FormatError>("must be an object"));
  EXPECT_THAT(opening("{\"__metadata__\":{\"n\":1}}", 0),
              throws_with<FormatError>("\"n\" must be a string"));
}

}  // namespace
}  // namespace bitmill
