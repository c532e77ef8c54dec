#include "cli/options/not_yet.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "cli/commands/command_table.hpp"
#include "cli/commands/invocation.hpp"
#include "cli/options/recipe.hpp"

namespace bitmill {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::string refusal(const std::vector<std::string>& words) {
  const auto files = posix_files();
  try {
    const Invocation invocation = read_invocation(*files, words);
    find_command(words.front()).make(*files, invocation.settings);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(NotYet, ACommandThatIsNotThereYetIsRefusedWithASentenceThatSaysSo) {
  for (const std::string& name : commands_not_yet()) {
    EXPECT_THAT(refusal({name}), HasSubstr("bitmill " + name + " is not there yet"));
  }
}

TEST(NotYet, AnOptionThatIsNotThereYetIsRefusedWithASentenceThatSaysSo) {
  for (const CommandEntry& entry : command_table()) {
    for (const std::string& name : options_not_yet(entry.name)) {
      const std::string words = "--" + name + " of bitmill " + entry.name + " is not there yet";
      EXPECT_THAT(refusal({entry.name, "--" + name, "1"}), HasSubstr(words));
      EXPECT_THAT(refusal({entry.name, "--" + name + "=1"}), HasSubstr(words));
    }
  }
}

TEST(NotYet, ARecipeThatIsNotThereYetIsRefusedWithASentenceThatSaysSo) {
  for (const std::string& name : recipes_not_yet()) {
    EXPECT_THAT(refusal({"quantize", "--model", "m", "--output-dir", "o", "--calib", "c.txt",
                         "--recipe", name}),
                HasSubstr("the recipe " + name + " is not there yet"));
  }
}

// The list would otherwise outlive what it speaks of.
TEST(NotYet, WhatIsThereIsNotOnTheList) {
  for (const CommandEntry& entry : command_table()) {
    EXPECT_THAT(commands_not_yet(), Not(Contains(entry.name)));
    for (const std::string& name : option_names(entry.options)) {
      EXPECT_FALSE(is_option_not_yet(entry.name, name)) << entry.name << " --" << name;
    }
  }
  for (const EmbeddedRecipe& recipe : embedded_recipes()) {
    EXPECT_FALSE(is_recipe_not_yet(recipe.name)) << recipe.name;
  }
}

}  // namespace
}  // namespace bitmill
