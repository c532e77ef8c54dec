#pragma once
// A forecast as a picture: one page for a browser, or events for a trace viewer.

#include <string>

#include "schedule/planner.hpp"

namespace bitmill {

// One self-contained HTML page: rank by time, actions coloured by kind and by block, waiting left
// white, numbers under the mouse. With many stages a row is drawn as a line of pixels.
std::string timeline_page(const PlanRequest& request, const Forecast& forecast,
                          const std::string& title);

// Chrome's trace format: a JSON object with `traceEvents`, one process a stage.
std::string trace_json(const Forecast& forecast);

}  // namespace bitmill
