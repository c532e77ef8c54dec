#pragma once
// add_tables() against a plain loop, on any kind of device.

#include <gtest/gtest.h>

#include <deque>

#include "kernels/add_table.hpp"
#include "kernels/element_array.hpp"

namespace bitmill {

struct TableCase {
  int64_t tiles, columns;
  std::vector<float> rows;
};

// Sums of these are not exact: the order shows.
inline TableCase make_table_case(int64_t tiles, int64_t columns) {
  TableCase made{tiles, columns, exact_numbers(tiles * columns, 7)};
  for (float& value : made.rows) value = value / 3.0F + value * value * 1e-4F;
  return made;
}

inline std::vector<float> add_table_reference(const TableCase& problem) {
  std::vector<float> sum(problem.columns, 0);
  for (int64_t tile = 0; tile < problem.tiles; ++tile) {
    for (int64_t column = 0; column < problem.columns; ++column) {
      const float term = problem.rows[tile * problem.columns + column];
      sum[column] = tile == 0 ? term : sum[column] + term;
    }
  }
  return sum;
}

template <template <typename> class Array>
std::vector<std::vector<float>> add_tables_on_device(const std::vector<TableCase>& problems) {
  std::deque<Array<float>> rows, sums;
  kernels::AddTables task{{}, static_cast<int32_t>(problems.size())};
  for (size_t i = 0; i < problems.size(); ++i) {
    rows.emplace_back(problems[i].rows);
    sums.emplace_back(std::vector<float>(problems[i].columns, NAN));
    task.tables[i] = {rows.back().data(), sums.back().data(), problems[i].tiles,
                      problems[i].columns};
  }
  EXPECT_EQ(kernels::add_tables(task, nullptr), kernels::cudaSuccess);
  std::vector<std::vector<float>> all;
  for (const Array<float>& sum : sums) all.push_back(sum.to_host());
  return all;
}

template <template <typename> class Array>
void check_tables(const std::vector<TableCase>& problems) {
  const auto got = add_tables_on_device<Array>(problems);
  for (size_t i = 0; i < problems.size(); ++i) {
    EXPECT_EQ(first_difference(got[i], add_table_reference(problems[i])), "")
        << problems[i].tiles << " x " << problems[i].columns << ", table " << i << " of "
        << problems.size();
  }
}

// Around the tile (128 columns) and the rows under way (8); up to four tables at once.
template <template <typename> class Array>
void check_all_of_add_tables() {
  for (const int64_t tiles : {0, 1, 2, 8, 9, 10, 32}) {
    for (const int64_t columns : {0, 1, 31, 33, 127, 128, 129, 1031}) {
      check_tables<Array>({make_table_case(tiles, columns)});
    }
  }
  check_tables<Array>({});
  check_tables<Array>({make_table_case(3, 130), make_table_case(17, 0), make_table_case(0, 5),
                       make_table_case(9, 300)});
}

}  // namespace bitmill
