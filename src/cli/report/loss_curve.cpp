#include "cli/report/loss_curve.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace bitmill {

Curve loss_curve(const LossLog& log, const std::string& title) {
  Curve curve{title, "", log.counts_steps ? "step" : "epoch", {{"loss", {}}, {"held-out", {}}}};
  for (const LossPoint& point : log.points) {
    const auto at = static_cast<double>(point.at);
    if (point.loss) curve.series[0].points.emplace_back(at, *point.loss);
    if (point.held_out) curve.series[1].points.emplace_back(at, *point.held_out);
  }
  curve.facts = "nats per token; the loss is the mean since the point before";
  return curve;
}

std::string loss_text(const LossLog& log) {
  std::string text;
  for (const LossPoint& point : log.points) {
    text += fmt::format("{} {}:", log.counts_steps ? "step" : "epoch", point.at);
    if (point.loss) text += fmt::format(" loss {:.4f},", *point.loss);
    text += point.held_out ? fmt::format(" held-out {:.4f}\n", *point.held_out)
                           : std::string(" held-out not finite\n");
  }
  return text;
}

nlohmann::ordered_json loss_json(const LossLog& log) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const LossPoint& point : log.points) {
    nlohmann::ordered_json one = {{log.counts_steps ? "steps" : "epochs", point.at},
                                  {"loss", nullptr},
                                  {"held_out", nullptr}};
    if (point.loss) one["loss"] = *point.loss;
    if (point.held_out) one["held_out"] = *point.held_out;
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace bitmill
