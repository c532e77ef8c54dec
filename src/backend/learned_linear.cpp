#include "backend/learned_linear.hpp"

#include <algorithm>

namespace bitmill {

LearnedLinear::LearnedLinear(
    std::initializer_list<std::pair<std::string_view, at::Tensor>> values) {
  for (const auto& [name, value] : values) set(name, value);
}

const LearnedLinear::Entry* LearnedLinear::find(std::string_view name) const {
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  return found == entries_.end() ? nullptr : &*found;
}

LearnedLinear::Entry& LearnedLinear::entry(std::string_view name) {
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  return found == entries_.end() ? entries_.emplace_back(Entry{std::string(name), {}, {}}) : *found;
}

at::Tensor LearnedLinear::operator[](std::string_view name) const {
  const Entry* found = find(name);
  return found == nullptr ? at::Tensor() : found->value;
}

void LearnedLinear::set(std::string_view name, at::Tensor value) {
  entry(name).value = std::move(value);
}

at::Tensor LearnedLinear::gradient_place(std::string_view name) const {
  const Entry* found = find(name);
  return found == nullptr ? at::Tensor() : found->gradient_place;
}

void LearnedLinear::set_gradient_place(std::string_view name, at::Tensor place) {
  entry(name).gradient_place = std::move(place);
}

}  // namespace bitmill
