#include "schedule/resume.hpp"

#include <algorithm>
#include <cassert>

namespace bitmill {
namespace {

// The turn of a load or a drop: that of the nearest other action on the same block. `direction` is
// +1 for a load and -1 for a drop. A plan without a fault has such an action.
int turn_of_visit(const std::vector<Action>& actions, size_t index, int direction) {
  const int block = actions[index].block;
  auto i = static_cast<int64_t>(index);
  do {
    i += direction;
    assert(0 <= i && i < std::ssize(actions));
  } while (actions[static_cast<size_t>(i)].block != block);
  return actions[static_cast<size_t>(i)].turn;
}

}  // namespace

BlockDone usable(const BlockDone& found, const Plan& plan) {
  if (found.turns >= plan.turns()) return found;
  const int first = found.turns * plan.lag, last = first + plan.lag;
  return first <= found.epochs && found.epochs <= last ? found : BlockDone{};
}

bool keeps_streams(const Plan& plan) { return plan.stage_count() == 1 && plan.band == 1; }

bool can_begin_at(const KeptStreams& kept, const Plan& plan, const std::vector<BlockDone>& done) {
  const bool exists = 0 < kept.block && kept.block < plan.blocks && kept.turn < plan.turns();
  if (!keeps_streams(plan) || !exists) return false;
  if (Remaining(plan, done).visit(kept.block, kept.turn) == Manner::skip) return false;
  for (int block = 0; block < kept.block; ++block) {
    if (done[static_cast<size_t>(block)].turns <= kept.turn) return false;
  }
  // A block that begins anew needs its own inputs of the teacher, for their statistics.
  const BlockDone& own = done[static_cast<size_t>(kept.block)];
  return !kept.targets || kept.turn > 0 || own.turns > 0 || own.steps > 0;
}

Remaining::Remaining(const Plan& plan, const std::vector<BlockDone>& done, const KeptStreams& kept)
    : plan_(plan), done_(done), kept_(kept) {
  assert(std::ssize(done) == plan.blocks);
  for (int turn = 0; turn < plan.turns(); ++turn) {
    const bool teacher = plan.begins_band(turn);
    last_.push_back(last_unpacked(teacher ? plan.band_end(turn) - 1 : turn));
  }
}

// The last block that has not packed `turn`, and so no later turn either; -1 when there is none.
int Remaining::last_unpacked(int turn) const {
  for (int block = plan_.blocks - 1; block >= 0; --block) {
    if (done_[static_cast<size_t>(block)].turns <= turn) return block;
  }
  return -1;
}

Manner Remaining::visit(int block, int turn) const {
  if (kept_.any() && turn == kept_.turn && block < kept_.block) return Manner::skip;
  if (block > last_[static_cast<size_t>(turn)]) return Manner::skip;
  return done_[static_cast<size_t>(block)].turns > turn ? Manner::replay : Manner::full;
}

std::vector<Manner> Remaining::of_stage(int stage) const {
  const std::vector<Action>& actions = plan_.stages[static_cast<size_t>(stage)];
  std::vector<Manner> manners;
  for (size_t i = 0; i < actions.size(); ++i) {
    const Action& action = actions[i];
    switch (action.kind) {
      case ActionKind::embed:
        manners.push_back(visit(0, action.turn));
        break;
      case ActionKind::send:
        manners.push_back(visit(action.block + 1, action.turn));
        break;
      case ActionKind::load:
        manners.push_back(visit(action.block, turn_of_visit(actions, i, 1)));
        break;
      case ActionKind::drop:
        manners.push_back(visit(action.block, turn_of_visit(actions, i, -1)));
        break;
      default:
        manners.push_back(visit(action.block, action.turn));
    }
    if (manners.back() == Manner::replay &&
        (action.kind == ActionKind::embed || action.kind == ActionKind::receive ||
         action.kind == ActionKind::send)) {
      manners.back() = Manner::full;
    }
  }
  return manners;
}

bool Remaining::comes_back(int block, int turn) const {
  for (int later = turn + 1; later < plan_.band_end(turn); ++later) {
    if (visit(block, later) != Manner::skip) return true;
  }
  return false;
}

int Remaining::replays() const {
  int count = 0;
  for (int block = 0; block < plan_.blocks; ++block) {
    for (int turn = 0; turn < plan_.turns(); ++turn) {
      if (visit(block, turn) == Manner::replay) ++count;
    }
  }
  return count;
}

}  // namespace bitmill
