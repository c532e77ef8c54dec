#include "schedule/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/pieces.hpp"

namespace bitmill {
namespace {

void append_visit(const Plan& plan, int block, int turn, std::vector<Action>& actions) {
  if (block == 0) {
    actions.push_back({ActionKind::embed, -1, turn});
  } else if (plan.sends(block - 1)) {
    actions.push_back({ActionKind::receive, block, turn});
  }
  actions.push_back({ActionKind::load, block, -1});
  for (const auto kind : {ActionKind::teach, ActionKind::train, ActionKind::pack}) {
    actions.push_back({kind, block, turn});
  }
  if (block + 1 < plan.blocks || turn + 1 == plan.turns()) {
    actions.push_back({ActionKind::forward, block, turn});
  }
  if (plan.sends(block)) actions.push_back({ActionKind::send, block, turn});
  actions.push_back({ActionKind::drop, block, -1});
}

// Appends turns [first, last) of all blocks. Visits with equal block + turn (a wave) do not depend
// on each other. Within a wave the deepest block comes last, so that every block is finished as
// early as possible.
void append_band(int first, int last, Plan& plan) {
  for (int wave = first; wave < plan.blocks + last - 1; ++wave) {
    const int lowest = std::max(0, wave - last + 1);
    const int highest = std::min(plan.blocks - 1, wave - first);
    for (int block = lowest; block <= highest; ++block) {
      append_visit(plan, block, wave - block, plan.stages[plan.stage_of_block(block)]);
    }
  }
}

}  // namespace

const char* word_of(Walk walk) {
  if (walk == Walk::automatic) return "auto";
  return walk == Walk::wavefront ? "wavefront" : "sweep";
}

int band_width(Walk walk, int stages, int turns) {
  return walk == Walk::wavefront ? turns : std::min(stages, turns);
}

void check_lag(int epochs, int lag) {
  BITMILL_CHECK(epochs >= 1, UsageError,
                fmt::format("training needs at least one epoch, and got {}", epochs));
  if (lag >= 1 && epochs % lag == 0) return;
  const auto [below, above] = nearest_divisors(epochs, lag);
  throw UsageError(
      fmt::format("lag {} does not divide {} epochs; the nearest that do are {} and {}", lag,
                  epochs, below, above));
}

Plan make_plan(int blocks, int epochs, int lag, int stages, Walk walk) {
  BITMILL_CHECK(blocks >= 1 && stages >= 1, UsageError,
                fmt::format("a plan needs at least one block and one stage, and got {} and {}",
                            blocks, stages));
  check_lag(epochs, lag);
  Plan plan{blocks, epochs, lag, 1, 1, {}};
  plan.stages.resize(static_cast<size_t>(stages));
  plan.band = band_width(walk, stages, plan.turns());
  // A stage sends at most ceil(band / stages) turns in a wave, and may be one wave ahead of the
  // receiver.
  plan.link_capacity = static_cast<int>(piece_count(plan.band, stages)) + 1;
  for (int first = 0; first < plan.turns(); first += plan.band) {
    append_band(first, plan.band_end(first), plan);
  }
  return plan;
}

int live_files(const Plan& plan) {
  const int together = std::min(plan.band, plan.blocks);  // blocks of a band that are under way
  const int live = plan.band < plan.turns() ? plan.blocks : together;
  return live + std::min(plan.stage_count(), together);
}

std::string draw(const Plan& plan) {
  std::string text;
  for (int stage = 0; stage < plan.stage_count(); ++stage) {
    if (plan.stage_count() > 1) text += fmt::format("stage {}:\n", stage);
    for (const Action& action : plan.stages[static_cast<size_t>(stage)]) {
      text += to_token(action);
      const bool ends_line = action.kind == ActionKind::embed || action.kind == ActionKind::drop;
      text += ends_line ? '\n' : ' ';
    }
  }
  return text;
}

std::pair<int, int> nearest_divisors(int epochs, int lag) {
  int below = std::clamp(lag, 1, epochs);
  int above = below;
  while (epochs % below != 0) --below;
  while (epochs % above != 0) ++above;
  return {below, above};
}

}  // namespace bitmill
