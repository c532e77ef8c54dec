#include "product/product.hpp"

#include <array>
#include <utility>

namespace bitmill {
namespace {

constexpr std::array<std::pair<std::string_view, Activations>, 3> activation_words = {
    {{"int8", Activations::int8},
     {"int16", Activations::int16},
     {"float32", Activations::float32}}};

}  // namespace

std::string_view activations_name(Activations activations) {
  for (const auto& [word, value] : activation_words) {
    if (value == activations) return word;
  }
  return "?";
}

}  // namespace bitmill
