#pragma once
// The tables of kernels/STEP.md, "What it comes to": from the planner's own count of a block's step
// and from the tables of hardware that it reads.

#include <string>
#include <string_view>
#include <vector>

#include "schedule/step_parts.hpp"

namespace bitmill {

// A LLaMA block in training, T = 2,048, bfloat16, on an H100 SXM or an H200.
struct PageCase {
  std::string_view model;  // "7B", "13B" or "70B"
  bool learned_signs;
  int64_t batch;
  std::string_view hardware;  // name of a table
};

struct PageStep {
  StepParts parts;  // of the whole step; same names are one part
  DeviceRates rates;
  double seconds = 0;     // on the device
  double launches_s = 0;  // on the host
  int64_t launches = 0;

  double part_of(std::string_view name) const;  // of `seconds`
  double part_of(PartKind kind) const;
};

PageStep page_step(const PageCase& which);

// A table in Markdown, with a line break behind each row.
std::string steps_table();
std::string parts_table();
std::string overlap_table();

}  // namespace bitmill
