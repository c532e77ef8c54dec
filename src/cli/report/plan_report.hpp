#pragma once
// What `plan` prints.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "schedule/planner.hpp"

namespace bitmill {

// The ratio of the seconds of all actions of the plan to those of the same plan at lag = epochs,
// where every block is visited once. It says what further turns cost in loading, teaching, making
// ready, packing and forwarding. It depends on the mesh and the walk, because the teacher is
// computed once per band.
double work_of_lag(const Plan& plan, const PlanCosts& costs);

// What was measured: the milliseconds of this work, and rates.
std::string describe_machine(const Workload& work, const Machine& machine);
// A table; and, when several ranks work, a second one with a row for every stage.
std::string describe_forecast(const PlanRequest& request, const Forecast& forecast);
nlohmann::ordered_json forecast_json(const PlanRequest& request, const Forecast& forecast);

}  // namespace bitmill
