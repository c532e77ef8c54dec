#pragma once
// The losses of a long training: as a curve on the page of timelines, as text, and as JSON.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/report/timeline.hpp"
#include "pipeline/folder/loss_log.hpp"

namespace bitmill {

// Loss and held-out loss against steps or epochs.
Curve loss_curve(const LossLog& log, const std::string& title);
// A line for each point: "step 40: loss 3.2103, held-out 3.3310".
std::string loss_text(const LossLog& log);
// [{"steps": 40, "loss": 3.2103, "held_out": 3.331}, ...], with "epochs" where these are counted;
// null for what was not measured, or was not finite.
nlohmann::ordered_json loss_json(const LossLog& log);

}  // namespace bitmill
