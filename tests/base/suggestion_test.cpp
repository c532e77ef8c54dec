#include "base/suggestion.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitmill {
namespace {

using ::testing::ElementsAre;

TEST(Suggestions, CountEditsAndSwaps) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("evla", "eval"), 1);
}

TEST(Suggestions, OnlyWhatIsNearIsMeant) {
  const std::vector<std::string> names = {"samples", "seq-len", "seed", "epochs"};
  EXPECT_EQ(nearest_name("sample", names), "samples");
  EXPECT_EQ(nearest_name("seqlen", names), "seq-len");
  EXPECT_EQ(nearest_name("sede", names), "seed");
  EXPECT_EQ(nearest_name("colour", names), "");
  EXPECT_EQ(nearest_name("x", names), "");
  EXPECT_EQ(did_you_mean("sample", names, "--"), " (did you mean --samples?)");
  EXPECT_EQ(did_you_mean("colour", names, "--"), "");
}

TEST(Suggestions, AListHasTheNearestFirstAndKeepsTheOrderOfEquals) {
  EXPECT_THAT(nearest_names("down_porj", {"q_proj", "k_proj", "down_proj", "up_proj"}, 3),
              ElementsAre("down_proj", "q_proj", "k_proj"));
  EXPECT_THAT(nearest_names("zzz", {"a", "b"}, 3), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace bitmill
