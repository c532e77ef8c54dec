#include "base/memory.hpp"
#include "cli/program.hpp"

int main(int argc, char** argv) {
  bitmill::keep_freed_memory();
  return bitmill::run_program({argv + 1, argv + argc});
}
