#pragma once
// Recipes: named sets of the settings that determine a result. Those under configs/recipes are part
// of the binary, so that an installed program needs no other file.

#include <string>
#include <vector>

#include "base/files.hpp"
#include "cli/options/option_list.hpp"

namespace bitmill {

struct EmbeddedRecipe {
  std::string name;
  std::string text;  // of configs/recipes/<name>.cfg
};

// Made by CMake from configs/recipes; sorted by name.
const std::vector<EmbeddedRecipe>& embedded_recipes();

struct Recipe {
  std::string name;
  Settings settings;
};

// `given` is the name of an embedded recipe, or the path of a .cfg file. Only options of `allowed`
// may be set. UsageError lists the recipes when there is no such name.
Recipe read_recipe(Files& files, const std::string& given, const OptionGroups& allowed);

}  // namespace bitmill
