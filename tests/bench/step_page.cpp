// Prints the tables of kernels/STEP.md, "What it comes to". tests/cli/options/step_page_test.cpp
// holds the page to them.

#include "bench/step_page.hpp"

#include <cstdio>

int main() {
  for (const std::string& table :
       {bitmill::steps_table(), bitmill::parts_table(), bitmill::overlap_table()}) {
    std::printf("%s\n", table.c_str());
  }
}
