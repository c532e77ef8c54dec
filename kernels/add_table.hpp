#pragma once
// Adds up the rows of tables in order: the second half of every sum over tokens or over columns.
// The first half, in the kernels that have the terms, leaves one row for each tile. So no result
// depends on an order of blocks, and there are no atomics.
//
// Numbers: ((row 0 + row 1) + row 2) + ..., float32: the bits of the same loop on the CPU. The sum
// of a table without rows is 0.
//
// Reference: the plain loop of tests/kernels/add_table_checks.hpp. Tests: add_table_test.cpp in
// tests/kernels and in tests/gpu.

#include <cstdint>

#include "format/packed_layout.hpp"
#include "kernels/launch.hpp"

namespace bitmill::kernels {

// Kernels that sum over tokens cut them into tiles of this many.
inline constexpr int64_t tokens_per_tile = 64;
constexpr int64_t token_tiles(int64_t tokens) { return packed::words_for(tokens, tokens_per_tile); }

// Pointers point to memory of the device.
struct Table {
  const float* rows;  // [tiles, columns]   in
  float* sum;         // [columns]          out
  int64_t tiles;
  int64_t columns;
};

inline constexpr int most_tables = 4;

// Tables that are added up in one launch; those behind `count` are not looked at.
struct AddTables {
  Table tables[most_tables];
  int32_t count;  // 0 .. most_tables

  template <typename Visit>
  void each_pointer(Visit visit) {
    for (Table& table : tables) {
      visit(table.rows);
      visit(table.sum);
    }
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// size or count that is not as above. Launches nothing where there is no column.
cudaError_t add_tables(const AddTables& task, cudaStream_t stream);

}  // namespace bitmill::kernels
