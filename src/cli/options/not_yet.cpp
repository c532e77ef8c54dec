#include "cli/options/not_yet.hpp"

#include <algorithm>
#include <map>

namespace bitmill {
namespace {

using Names = std::vector<std::string>;

bool has(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

const Names& commands_not_yet() {
  static const Names names = {"splat", "landmarks"};
  return names;
}

const Names& options_not_yet(std::string_view command) {
  static const std::map<std::string_view, Names> table = {
      {"quantize", {"keep-latents"}},
      {"eval", {"head"}},
  };
  static const Names none;
  const auto found = table.find(command);
  return found == table.end() ? none : found->second;
}

const Names& recipes_not_yet() {
  static const Names names = {"quantease-4",  "quantease-3",  "quantease-2",  "quantease-3-outlier",
                              "gradptq-4",    "flexround-4",  "flexround-3",  "nf4",
                              "nf3",          "w8a8-smooth",  "w4a4-quarot",  "onebit",
                              "quamba2-w8a8", "quamba2-w4a8", "quamba2-w4a16"};
  return names;
}

bool is_command_not_yet(std::string_view name) { return has(commands_not_yet(), name); }

bool is_option_not_yet(std::string_view command, std::string_view name) {
  return has(options_not_yet(command), name);
}

bool is_recipe_not_yet(std::string_view name) { return has(recipes_not_yet(), name); }

}  // namespace bitmill
