// What --ignore names, also where it is written as other tools do.

#include "pipeline/job/ignored_linears.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> four_linears = {
    "model.layers.1.mlp.down_proj.weight", "model.layers.1.self_attn.o_proj.weight",
    "model.layers.10.mlp.down_proj.weight", "model.layers.10.self_attn.o_proj.weight"};

// The numbers of the linears that are named, such as "02".
std::string numbers_named_by(const IgnoredLinears& ignored) {
  EXPECT_EQ(ignored.problem(), "") << ignored.text();
  std::string numbers;
  for (size_t i = 0; i < four_linears.size(); ++i) {
    if (ignored.contains(four_linears[i])) numbers += std::to_string(i);
  }
  return numbers;
}

TEST(IgnoredLinears, AnExpressionIsSearchedInTheNameWithAndWithoutItsEnding) {
  EXPECT_EQ(numbers_named_by(""), "");
  EXPECT_EQ(numbers_named_by("down_proj"), "02");
  EXPECT_EQ(numbers_named_by("down_proj.weight"), "02");
  EXPECT_EQ(numbers_named_by("down_proj$"), "02");
  EXPECT_EQ(numbers_named_by("layers\\.1\\."), "01");
  EXPECT_EQ(numbers_named_by("model.layers.1.mlp.down_proj"), "0");
  EXPECT_EQ(numbers_named_by("^down_proj$"), "");
  EXPECT_EQ(numbers_named_by("(down|o)_proj"), "0123");
  EXPECT_EQ(numbers_named_by("layers\\.1\\d{1,2}\\."), "23");
}

TEST(IgnoredLinears, SeveralEntriesHaveCommasBetweenThem) {
  EXPECT_EQ(numbers_named_by("layers.1.mlp,layers.10.self"), "03");
  EXPECT_EQ(numbers_named_by("layers.1.mlp , layers.10.self"), "03");
}

TEST(IgnoredLinears, ExpressionsOfLlmCompressorMatchFromTheBeginning) {
  EXPECT_EQ(numbers_named_by("re:.*down_proj.*"), "02");
  EXPECT_EQ(numbers_named_by("re:down_proj"), "");
  EXPECT_EQ(numbers_named_by("re:.*\\.1\\.mlp\\.down_proj$,re:.*10.*o_proj"), "03");
}

TEST(IgnoredLinears, PatternsOfFileNamesMatchTheWholeName) {
  EXPECT_EQ(numbers_named_by("*.down_proj"), "02");
  EXPECT_EQ(numbers_named_by("*down_proj"), "02");
  EXPECT_EQ(numbers_named_by("*.1.*.weight"), "01");
  EXPECT_EQ(numbers_named_by("*.mlp"), "");
}

TEST(IgnoredLinears, WhatIsNotUnderstoodIsSaidWithTheRightSpelling) {
  EXPECT_THAT(IgnoredLinears("(").problem(), HasSubstr("\"(\" is not a regular expression"));
  EXPECT_THAT(IgnoredLinears("re:*x").problem(), HasSubstr("not a regular expression"));
  // As an expression, a list in brackets would name everything.
  for (const char* list : {R"(["down_proj", "o_proj"])", "[down_proj,o_proj]", "'down_proj'"}) {
    EXPECT_THAT(IgnoredLinears(list).problem(), HasSubstr("such as down_proj,o_proj")) << list;
  }
  EXPECT_THAT(IgnoredLinears("down_proj,").problem(), HasSubstr("empty entry"));
  EXPECT_THAT(IgnoredLinears("re:").problem(), HasSubstr("empty entry"));
}

TEST(IgnoredLinears, EveryEntryTellsWhatItNames) {
  const auto hits = IgnoredLinears("o_proj,gate").hits(four_linears);
  ASSERT_EQ(hits.size(), 2u);
  EXPECT_EQ(hits[0].entry, "o_proj");
  EXPECT_THAT(hits[0].tensors, ElementsAre(four_linears[1], four_linears[3]));
  EXPECT_THAT(hits[1].tensors, testing::IsEmpty());
}

}  // namespace
}  // namespace bitmill
