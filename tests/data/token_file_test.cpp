// What may stand beside the ids of a token file, and what would change their meaning.

#include "data/token_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "format/safetensors_writer.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two rows of four ids, and one more tensor.
class TokenFile : public ::testing::Test {
 protected:
  template <class T>
  void write(const std::string& name, Dtype dtype, std::vector<int64_t> shape,
             const std::vector<T>& values) {
    const auto bytes_of = [](const auto& list) {
      return [&list](const ByteSink& sink) { sink(std::as_bytes(std::span(list))); };
    };
    write_safetensors(*files_, path_,
                      {{"input_ids", Dtype::int32, {2, 4}, bytes_of(ids_)},
                       {name, dtype, std::move(shape), bytes_of(values)}},
                      {});
  }
  void write(const std::string& name, const std::vector<int64_t>& values) {
    write<int64_t>(name, Dtype::int64, {2, 4}, values);
  }
  void expect_read() {
    EXPECT_THAT(read_token_file(*files_, path_, 100).ids, ElementsAre(5, 6, 7, 2, 8, 9, 2, 2));
  }
  std::string refusal() {
    try {
      read_token_file(*files_, path_, 100);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "not refused";
  }

  const TempFolder folder_;
  const std::string path_ = folder_ / "t.safetensors";
  const std::unique_ptr<Files> files_ = posix_files();
  const std::vector<int32_t> ids_ = {5, 6, 7, 2, 8, 9, 2, 2};
};

TEST_F(TokenFile, AMaskThatLeavesNothingOutIsAccepted) {
  write("attention_mask", {1, 1, 1, 1, 1, 1, 1, 1});
  expect_read();
  write<uint8_t>("attention_mask", Dtype::uint8, {2, 4}, {1, 1, 1, 1, 1, 1, 1, 1});
  expect_read();
}

TEST_F(TokenFile, AMaskWithPaddingIsRefusedWithItsFirstPlaceAndAWayOut) {
  write("attention_mask", {1, 1, 1, 0, 1, 1, 0, 0});
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("attention_mask is not all 1"), HasSubstr("3 of 8 values differ"),
                    HasSubstr("row 0, column 3 is 0"),
                    HasSubstr("padding would be counted as text"), HasSubstr("join the rows")));
}

TEST_F(TokenFile, LabelsMustBeTheTokens) {
  write("labels", {5, 6, 7, 2, 8, 9, 2, 2});
  expect_read();
  write("labels", {5, 6, 7, 2, -100, -100, 2, 2});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("labels"), HasSubstr("2 of 8 values differ"),
                               HasSubstr("row 1, column 0 is -100")));
}

TEST_F(TokenFile, PositionsMustBeginAtZeroInEveryRow) {
  write("position_ids", {0, 1, 2, 3, 0, 1, 2, 3});
  expect_read();
  write("position_ids", {0, 1, 2, 3, 0, 1, 0, 1});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("position_ids"), HasSubstr("row 1, column 2 is 0")));
}

TEST_F(TokenFile, SegmentsMustAllBeTheFirst) {
  write("token_type_ids", {0, 0, 0, 0, 0, 0, 0, 0});
  expect_read();
  write("token_type_ids", {0, 0, 0, 0, 0, 0, 1, 1});
  EXPECT_THAT(refusal(), HasSubstr("token_type_ids"));
}

TEST_F(TokenFile, WhatOnlySaysWhichTokensAreSpecialIsAccepted) {
  write("special_tokens_mask", {1, 0, 0, 0, 1, 0, 0, 0});
  expect_read();
}

TEST_F(TokenFile, EveryOtherTensorIsRefusedByName) {
  write("decoder_input_ids", {0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"decoder_input_ids\""), HasSubstr("does not know")));
}

TEST_F(TokenFile, AMaskOfAnotherShapeOrKindIsRefused) {
  write<int64_t>("attention_mask", Dtype::int64, {2}, {1, 1});
  EXPECT_THAT(refusal(), HasSubstr("in the shape of input_ids"));
  write<float>("attention_mask", Dtype::float32, {2, 4}, std::vector<float>(8, 1));
  EXPECT_THAT(refusal(), HasSubstr("attention_mask is F32"));
}

}  // namespace
}  // namespace bitmill
