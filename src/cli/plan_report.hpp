#pragma once
// What `plan` says.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "schedule/planner.hpp"

namespace bitmill {

// Products of the whole run over those of the same epochs at lag = epochs, where every block hands
// its streams on once.
double work_of_lag(const Workload& work, const PlanCosts& costs);

// What was measured: for this work in milliseconds, and as rates.
std::string describe_machine(const Workload& work, const Machine& machine);
std::string describe_forecast(const PlanRequest& request, const Forecast& forecast);
nlohmann::ordered_json forecast_json(const PlanRequest& request, const Forecast& forecast);

}  // namespace bitmill
