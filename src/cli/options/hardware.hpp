#pragma once
// Tables of what a machine can do, for the planner. The ones under configs/hardware are part of the
// binary, like recipes.

#include <string>
#include <vector>

#include "base/files.hpp"
#include "cli/options/recipe.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {

// Made by CMake from configs/hardware; sorted by name.
const std::vector<EmbeddedRecipe>& embedded_hardware();

// Of the program as it is.
inline constexpr const char* default_hardware = "cpu";

// `given` is the name of an embedded table, or the path of a .cfg file with the same keys.
// `threads` of a rank count where the table's rates are those of one thread. UsageError as for
// recipes.
Machine read_hardware(Files& files, const std::string& given, int threads);

// A table that read_hardware() takes back; `about` says in a line where the figures come from.
std::string hardware_text(const Machine& machine, const std::string& about);

}  // namespace bitmill
