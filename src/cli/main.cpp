#include "cli/program.hpp"

int main(int argc, char** argv) { return bitmill::run_program({argv + 1, argv + argc}); }
