#include "pipeline/folder/run_log.hpp"

#include <nlohmann/json.hpp>

namespace bitmill {

using nlohmann::json;

RunLog::RunLog(RunDir* run_dir, QuantizeObserver& next)
    : ForwardingObserver(next), run_dir_(run_dir), last_(std::chrono::steady_clock::now()) {
  if (run_dir_ != nullptr) logged_ = run_dir_->packed_events();
}

double RunLog::seconds_since_last() {
  const auto now = std::chrono::steady_clock::now();
  const std::chrono::duration<double> seconds = now - last_;
  last_ = now;
  return seconds.count();
}

void RunLog::action_begins(const Action& action) {
  if (action.kind == ActionKind::train) last_ = std::chrono::steady_clock::now();
  ForwardingObserver::action_begins(action);
}

void RunLog::epoch_done(const Position& at, double loss) {
  const double seconds = seconds_since_last();
  if (run_dir_ != nullptr) {
    run_dir_->append_event(json{
        {"block", at.block},
        {"turn", at.turn},
        {"epoch", at.epoch},
        {"loss", loss},
        {"seconds", seconds}}.dump());
  }
  ForwardingObserver::epoch_done(at, loss);
}

void RunLog::block_packed(const BlockReport& report) {
  if (run_dir_ != nullptr && logged_.insert(report.block).second) {
    run_dir_->append_event(json{
        {"block", report.block},
        {"event", "packed"},
        {"bits_per_weight", report.bits_per_weight},
        {"error", report.relative_error},
        {"cosine",
         report.cosine}}.dump());
  }
  ForwardingObserver::block_packed(report);
}

}  // namespace bitmill
