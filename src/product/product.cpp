#include "product/product.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/error.hpp"

namespace bitmill {
namespace {

constexpr std::array<std::pair<std::string_view, Activations>, 3> activation_words = {
    {{"int8", Activations::int8},
     {"int16", Activations::int16},
     {"float32", Activations::float32}}};

}  // namespace

Activations activations_from_name(std::string_view name) {
  for (const auto& [word, activations] : activation_words) {
    if (word == name) return activations;
  }
  throw UsageError(
      fmt::format("there are no activations \"{}\": choose int8, int16 or float32", name));
}

std::string_view activations_name(Activations activations) {
  for (const auto& [word, value] : activation_words) {
    if (value == activations) return word;
  }
  return "?";
}

}  // namespace bitmill
