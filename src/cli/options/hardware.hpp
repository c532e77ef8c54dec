#pragma once
// Tables of what a machine can do, for the planner. Those under configs/hardware are part of the
// binary, like recipes.

#include <string>
#include <vector>

#include "base/files.hpp"
#include "cli/options/recipe.hpp"
#include "schedule/cost_model.hpp"
#include "schedule/links.hpp"

namespace bitmill {

// Made by CMake from configs/hardware; sorted by name.
const std::vector<EmbeddedRecipe>& embedded_hardware();

// For the program as it is today: it trains on processors.
inline constexpr const char* default_hardware = "cpu";

// `given` is the name of an embedded table, or the path of a .cfg file with the same keys.
// `threads` is the number of threads of a rank; it matters where the table's rates are those of one
// thread. UsageError as for recipes.
Machine read_hardware(Files& files, const std::string& given, int threads);
// How many ranks a node has, and the links between them, from the same table. UsageError where it
// says one of the two alone.
NodeLinks read_node_links(Files& files, const std::string& given);

// A table that read_hardware() can read; `about` says in one line where the figures come from.
std::string hardware_text(const Machine& machine, const std::string& about);

}  // namespace bitmill
