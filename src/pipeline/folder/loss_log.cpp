#include "pipeline/folder/loss_log.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/event_log.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

std::optional<double> number_at(const json& event, const char* key) {
  const json value = event.value(key, json());
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

}  // namespace

LossLog read_loss_log(Files& files, const std::string& work_dir) {
  LossLog log;
  std::map<int64_t, LossPoint> points;  // by place
  for (const std::string& line : read_events(files, work_dir)) {
    const json event = json::parse(line, nullptr, /*allow_exceptions=*/false);
    // Only jobs that train the whole model hold text out.
    if (!event.is_object() || !event.contains("held_out")) continue;
    const json epoch = event.value("epoch", json()), steps = event.value("steps", json());
    if (!epoch.is_number_integer()) continue;
    log.counts_steps = steps.is_number_integer();
    const int64_t at = log.counts_steps ? steps.get<int64_t>() : epoch.get<int64_t>() + 1;
    points[at] = {at, number_at(event, "loss"), number_at(event, "held_out")};
    const auto before = number_at(event, "held_out_before");
    if (before) points[0] = {0, std::nullopt, before};
  }
  for (const auto& [at, point] : points) log.points.push_back(point);
  return log;
}

}  // namespace bitmill
