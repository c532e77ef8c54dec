#include "cli/report/progress.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <chrono>

#include "base/pieces.hpp"
#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

constexpr double seconds_between_updates = 0.1;  // people cannot read faster
constexpr double seconds_between_log_lines = 30;

}  // namespace

Clock steady_clock() {
  return [] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
  };
}

ProgressLine::ProgressLine(Console& console, Clock clock)
    : console_(console), clock_(std::move(clock)) {
  begin();
}

bool ProgressLine::is_due() const {
  return !console_.terminal() && clock_() - last_log_ >= seconds_between_log_lines;
}

void ProgressLine::show(bool in_log, const std::function<std::string(double now)>& line) {
  if (console_.silent()) return;
  const double now = clock_();
  if (console_.terminal()) {
    if (!in_log && now - last_update_ < seconds_between_updates) return;
    last_update_ = now;
    console_.update(line(now));
  } else if (in_log) {
    last_log_ = now;
    console_.say(line(now));
  }
}

QuantizeProgress::QuantizeProgress(Console& console, const QuantizeExtent& extent, Clock clock)
    : console_(console), extent_(extent), shown_(console, std::move(clock)) {}

void QuantizeProgress::resumed(const std::vector<BlockDone>& done) {
  for (size_t i = 0; i < done.size(); i += static_cast<size_t>(extent_.stages)) {
    const BlockDone& block = done[i];
    const int64_t packed = int64_t{block.turns} * extent_.lag * extent_.steps_per_epoch;
    steps_before_ += std::max(packed, block.steps);
  }
}

void QuantizeProgress::action_begins(const Action& action) {
  if (!begin_) {
    begin_ = shown_.now();
    shown_.begin();
  }
  if (action.kind == ActionKind::load) loss_.reset();
  if (action.kind != ActionKind::teach) return;
  block_ = action.block;
  turn_ = action.turn;
  epoch_ = action.turn * extent_.lag;
  show(false);
}

void QuantizeProgress::step_done(const Position&) {
  ++steps_done_;
  show(false);
}

void QuantizeProgress::epoch_done(const Position& at, double loss) {
  epoch_ = at.epoch + 1;
  loss_ = loss;
  const bool turn_ends = epoch_ % extent_.lag == 0;  // then action_done() prints the line
  show(!turn_ends && shown_.is_due());
}

void QuantizeProgress::action_done(const Action& action) {
  if (action.kind == ActionKind::train) show(true);
}

void QuantizeProgress::phase_begins(const std::string& phase) { console_.say(phase); }

std::string QuantizeProgress::line(double now) const {
  std::string text = fmt::format("block {}/{}", block_ + 1, extent_.blocks);
  const int turns = extent_.epochs / extent_.lag;
  if (turns > 1) text += fmt::format(" · turn {}/{}", turn_ + 1, turns);
  text += fmt::format(" · epoch {}/{}", epoch_, extent_.epochs);
  if (loss_) text += fmt::format(" · loss {:.4g}", *loss_);
  if (steps_done_ == 0 || !begin_) return text;
  const double steps_per_block =
      static_cast<double>(extent_.epochs) * static_cast<double>(extent_.steps_per_epoch);
  const double seconds_per_block =
      (now - *begin_) / static_cast<double>(steps_done_) * steps_per_block;
  const int64_t own_blocks = piece_count(extent_.blocks, extent_.stages);
  const double blocks_left = static_cast<double>(own_blocks) -
                             static_cast<double>(steps_before_ + steps_done_) / steps_per_block;
  return text + fmt::format(" · {}/block · ETA {}", format_seconds(seconds_per_block),
                            format_seconds(seconds_per_block * blocks_left));
}

void QuantizeProgress::show(bool in_log) {
  shown_.show(in_log, [&](double now) { return line(now); });
}

BlockProgress::BlockProgress(Console& console, std::string what, Clock clock, std::string unit)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      shown_(console, std::move(clock)),
      begin_(shown_.now()) {}

void BlockProgress::operator()(int64_t done, int64_t total) {
  if (done <= 0) return;
  shown_.show(shown_.is_due(), [&](double now) {
    const double seconds_each = (now - begin_) / static_cast<double>(done);
    return fmt::format("{0} · {1} {2}/{3} · {4}/{1} · ETA {5}", what_, unit_, done, total,
                       format_seconds(seconds_each),
                       format_seconds(seconds_each * static_cast<double>(total - done)));
  });
}

}  // namespace bitmill
