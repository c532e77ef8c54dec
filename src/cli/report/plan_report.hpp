#pragma once
// What `plan` says.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "schedule/planner.hpp"

namespace bitmill {

// Seconds of all actions of the plan over those of the same plan at lag = epochs, where every block
// is visited once: what the turns cost in loading, teaching, making ready, packing and forwarding.
// The teacher is asked once a band, so that it depends on the mesh and the walk.
double work_of_lag(const Plan& plan, const PlanCosts& costs);

// What was measured: for this work in milliseconds, and as rates.
std::string describe_machine(const Workload& work, const Machine& machine);
// A table, and, where several ranks work, another with a row for every stage.
std::string describe_forecast(const PlanRequest& request, const Forecast& forecast);
nlohmann::ordered_json forecast_json(const PlanRequest& request, const Forecast& forecast);

}  // namespace bitmill
