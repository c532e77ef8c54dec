#pragma once
// tree_add() against the tree as it is defined, on any kind of device.

#include <gtest/gtest.h>

#include <deque>

#include "kernels/element_array.hpp"
#include "kernels/tree_add.hpp"

namespace bitmill {

// The sum of node [begin, begin + width) of element i: left child plus right child.
inline float tree_sum(const std::vector<std::vector<float>>& units, size_t begin, size_t width,
                      size_t i) {
  if (width == 1) return units[begin][i];
  const float left = tree_sum(units, begin, width / 2, i);
  if (begin + width / 2 >= units.size()) return left;
  return left + tree_sum(units, begin + width / 2, width / 2, i);
}

template <template <typename> class Array>
std::vector<float> tree_add_on_device(const std::vector<std::vector<float>>& units, bool in_place) {
  std::deque<Array<float>> there;
  kernels::TreeAdd task{{}, nullptr, static_cast<int32_t>(units.size()), std::ssize(units[0])};
  for (size_t child = 0; child < units.size(); ++child) {
    there.emplace_back(units[child]);
    task.from[child] = there.back().data();
  }
  const Array<float> into(std::vector<float>(units[0].size(), NAN));
  task.into = in_place ? there[0].data() : into.data();
  EXPECT_EQ(kernels::tree_add(task, nullptr), kernels::cudaSuccess);
  return in_place ? there[0].to_host() : into.to_host();
}

// Sums of these are not exact: the order shows.
inline std::vector<std::vector<float>> make_tree_units(int count, int64_t size) {
  std::vector<std::vector<float>> units;
  for (int unit = 0; unit < count; ++unit) {
    units.push_back(exact_numbers(size, unit + 1));
    for (float& value : units.back()) value = value / 3 + value * value * 1e-4F;
  }
  return units;
}

// Every count; around the tile (1,024 elements).
template <template <typename> class Array>
void check_all_of_tree_add() {
  for (int count = 2; count <= kernels::most_tree_children; ++count) {
    for (const int64_t size : {0, 1, 31, 33, 1023, 1024, 1025, 2500}) {
      const auto units = make_tree_units(count, size);
      std::vector<float> want;
      for (int64_t i = 0; i < size; ++i) want.push_back(tree_sum(units, 0, 8, i));
      EXPECT_EQ(first_difference(tree_add_on_device<Array>(units, size % 2 == 0), want), "")
          << count << " vectors of " << size;
    }
  }
}

}  // namespace bitmill
