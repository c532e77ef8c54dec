#include "cli/report/resume_words.hpp"

#include <fmt/format.h>

#include "cli/report/quantity.hpp"

namespace bitmill {

std::string saving_words(bool beside) {
  return beside ? "the state of an epoch is written while the next one computes"
                : "training waits while the state of an epoch is written: there is no memory for a "
                  "copy of it";
}

std::string going_on_words(const ResumeCosts& costs, bool keeps) {
  const std::string replay =
      fmt::format("a start makes the streams of the packed blocks again: {} a block",
                  format_seconds(costs.replay_s));
  if (!keeps) return replay;
  return fmt::format("{}; from {} on, a stop keeps them ({}, {} to write, compare and read)",
                     replay, format_number_of("packed block", costs.blocks_worth_keeping()),
                     format_bytes(costs.streams_bytes), format_seconds(costs.streams_s));
}

}  // namespace bitmill
