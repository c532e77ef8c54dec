#include "pipeline/folder/run_log.hpp"

#include <nlohmann/json.hpp>

namespace bitmill {

using nlohmann::json;

std::string epoch_line(const Position& at, double loss, double seconds) {
  return json{{"block", at.block},
              {"turn", at.turn},
              {"epoch", at.epoch},
              {"loss", loss},
              {"seconds", seconds}}
      .dump();
}

std::string packed_line(const BlockReport& report) {
  return json{{"block", report.block},
              {"event", "packed"},
              {"bits_per_weight", report.bits_per_weight},
              {"error", report.relative_error},
              {"cosine", report.cosine}}
      .dump();
}

}  // namespace bitmill
