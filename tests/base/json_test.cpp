#include "base/json.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::Throws;

auto format_error(const std::string& part) {
  return Throws<FormatError>(Property(&FormatError::what, HasSubstr(part)));
}

TEST(Json, ValuesAreReadByKey) {
  const auto object = parse_json(R"({"n": 3, "x": 0.5, "s": "text", "b": true})", "here");
  EXPECT_EQ(json_int(object, "n", "here"), 3);
  EXPECT_EQ(json_number(object, "n", "here"), 3.0);
  EXPECT_EQ(json_number(object, "x", "here"), 0.5);
  EXPECT_EQ(json_string(object, "s", "here"), "text");
  EXPECT_TRUE(json_bool_or(object, "b", false, "here"));
}

TEST(Json, AMissingKeyIsNamedWithItsFile) {
  const auto object = parse_json("{}", "config.json");
  EXPECT_THAT([&] { json_int(object, "hidden_size", "config.json"); },
              format_error("config.json: \"hidden_size\" is missing"));
}

TEST(Json, AFallbackIsForMissingAndNullButNotForAWrongType) {
  const auto object = parse_json(R"({"null": null, "text": "4"})", "here");
  EXPECT_EQ(json_int_or(object, "missing", 7, "here"), 7);
  EXPECT_EQ(json_int_or(object, "null", 7, "here"), 7);
  EXPECT_EQ(json_string_or(object, "missing", "f", "here"), "f");
  EXPECT_EQ(json_number_or(object, "null", 0.25, "here"), 0.25);
  EXPECT_FALSE(json_bool_or(object, "missing", false, "here"));
  EXPECT_THAT([&] { json_int_or(object, "text", 7, "here"); },
              format_error("\"text\" must be a whole number, and is \"4\""));
  EXPECT_THROW(json_bool_or(object, "text", false, "here"), FormatError);
  EXPECT_THROW(json_number_or(object, "text", 0, "here"), FormatError);
}

TEST(Json, AFractionIsNotAWholeNumberAndNeitherIsMoreThan63Bits) {
  const auto object = parse_json(R"({"half": 1.5, "huge": 9223372036854775808})", "here");
  EXPECT_THROW(json_int(object, "half", "here"), FormatError);
  EXPECT_THROW(json_int(object, "huge", "here"), FormatError);
  EXPECT_EQ(json_int(parse_json(R"({"n": 9223372036854775807})", "here"), "n", "here"), INT64_MAX);
}

TEST(Json, BadTextIsReportedWithTheParsersWords) {
  EXPECT_THAT([] { parse_json("{\"a\": ", "config.json"); },
              format_error("config.json is not valid JSON"));
  EXPECT_THROW(parse_json("", "here"), FormatError);
  EXPECT_THROW(parse_json("{} {}", "here"), FormatError);
  EXPECT_THROW(parse_json("\"\xff\"", "here"), FormatError);
}

TEST(Json, DeepNestingIsRefusedBeforeItIsBuilt) {
  EXPECT_NO_THROW(parse_json(std::string(50, '[') + std::string(50, ']'), "here"));
  EXPECT_THAT([] { parse_json(std::string(1000000, '['), "here"); },
              format_error("nested deeper than 100 levels"));
}

TEST(Json, AKeyThatOccursTwiceInOneObjectIsRefusedWhereThatIsAsked) {
  const std::string twice = R"({"a": {"b": 1}, "c": [{"b": 1, "b": 2}]})";
  EXPECT_EQ(parse_json(twice, "here")["c"][0]["b"], 2);
  EXPECT_THAT([&] { parse_strict_json(twice, "here"); },
              format_error("here: the key \"b\" occurs twice"));
  EXPECT_NO_THROW(parse_strict_json(R"({"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}]})", "here"));
}

// `count` times `element`, with commas.
std::string repeated(int count, const std::string& element) {
  std::string text = element;
  for (int i = 1; i < count; ++i) text += "," + element;
  return text;
}

// With a time that grows with the square of their number, these tests would take several minutes.
TEST(Json, AMillionObjectsInOneArrayAreReadInSeconds) {
  const std::string text = '[' + repeated(1000000, "{}") + ']';
  EXPECT_EQ(parse_json(text, "here").size(), 1000000);
}

TEST(Json, ManyObjectsInOneObjectAreReadInSeconds) {
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += fmt::format("\"{}\":{{}},", i);
  text += "\"last\":{}}";
  EXPECT_EQ(parse_strict_json(text, "here").size(), 300001);
}

TEST(Json, WhatStandsBehindAZeroByteIsNotOverlooked) {
  const std::string text = std::string("{\"a\": 1}") + '\0' + "and more";
  EXPECT_THAT([&] { parse_json(text, "here"); }, format_error("byte 8 is zero"));
}

}  // namespace
}  // namespace bitmill
