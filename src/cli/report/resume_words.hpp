#pragma once
// Sentences about the run folder for --dry-run and `plan`: how states are saved, and what a start
// costs that goes on.

#include <string>

#include "schedule/cost_model.hpp"

namespace bitmill {

// `beside`: as in Workload::save_beside.
std::string saving_words(bool beside);
// `keeps`: whether a stop keeps streams, from costs.blocks_worth_keeping() packed blocks on.
std::string going_on_words(const ResumeCosts& costs, bool keeps);

}  // namespace bitmill
