#include "cli/options/recipe.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.hpp"
#include "base/suggestion.hpp"
#include "cli/options/config_file.hpp"
#include "cli/options/not_yet.hpp"

namespace bitmill {
namespace {

constexpr std::string_view suffix = ".cfg";

// Bytes. A recipe is about a page: nobody will reach this limit.
constexpr int64_t largest_recipe = 1 << 20;

Recipe make_recipe(const std::string& name, const std::string& text, const std::string& where,
                   const OptionGroups& allowed) {
  for (const ConfigEntry& entry : parse_config(text, where)) {
    BITMILL_CHECK(entry.section.empty(), UsageError,
                  fmt::format("{} line {}: a recipe has no sections, found [{}]", where, entry.line,
                              entry.section));
  }
  return {name, parse_section(text, where, "", allowed)};
}

}  // namespace

Recipe read_recipe(Files& files, const std::string& given, const OptionGroups& allowed) {
  std::vector<std::string> names;
  for (const EmbeddedRecipe& recipe : embedded_recipes()) {
    if (recipe.name == given) {
      return make_recipe(recipe.name, recipe.text, "recipe " + recipe.name, allowed);
    }
    names.push_back(recipe.name);
  }
  BITMILL_CHECK(!is_recipe_not_yet(given), UsageError,
                fmt::format("the recipe {} is not there yet; there are {}, or give the path of a "
                            ".cfg file",
                            given, fmt::join(names, ", ")));
  BITMILL_CHECK(given.ends_with(suffix), UsageError,
                fmt::format("there is no recipe \"{}\"{}; there are {}, or give the path of a .cfg "
                            "file",
                            given, did_you_mean(given, names, ""), fmt::join(names, ", ")));
  const std::string name = file_name(given);
  return make_recipe(name.substr(0, name.size() - suffix.size()),
                     read_text(files, given, largest_recipe), given, allowed);
}

}  // namespace bitmill
