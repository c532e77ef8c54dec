#include "schedule/resume.hpp"

#include <algorithm>
#include <cassert>

namespace bitmill {
namespace {

// The last block whose turn is not packed; -1 when all are.
int last_unpacked(const std::vector<BlockDone>& done, int turn) {
  for (int block = static_cast<int>(done.size()) - 1; block >= 0; --block) {
    if (done[static_cast<size_t>(block)].turns <= turn) return block;
  }
  return -1;
}

// A load or a drop is for the turns between them: the turn of the nearest action on this block that
// has one, `direction` +1 or -1 from it. A plan without fault has one.
int turn_of_visit(const Plan& plan, size_t index, int direction) {
  const int block = plan.actions[index].block;
  auto i = static_cast<int64_t>(index);
  do {
    i += direction;
    assert(0 <= i && i < std::ssize(plan.actions));
  } while (plan.actions[static_cast<size_t>(i)].block != block);
  return plan.actions[static_cast<size_t>(i)].turn;
}

int turn_of(const Plan& plan, size_t index) {
  switch (plan.actions[index].kind) {
    case ActionKind::load:
      return turn_of_visit(plan, index, 1);
    case ActionKind::drop:
      return turn_of_visit(plan, index, -1);
    default:
      return plan.actions[index].turn;
  }
}

}  // namespace

BlockDone usable(const BlockDone& found, const Plan& plan) {
  if (found.turns >= plan.turns()) return found;
  const int first = found.turns * plan.lag, last = first + plan.lag;
  return first <= found.epochs && found.epochs <= last ? found : BlockDone{};
}

std::vector<Manner> plan_resume(const Plan& plan, const std::vector<BlockDone>& done) {
  assert(std::ssize(done) == plan.blocks);
  std::vector<Manner> manners;
  for (size_t i = 0; i < plan.actions.size(); ++i) {
    const Action& action = plan.actions[i];
    const int turn = turn_of(plan, i);
    const int last = last_unpacked(done, turn);
    if (action.kind == ActionKind::embed) {
      manners.push_back(last >= 0 ? Manner::full : Manner::skip);
    } else if (action.block > last) {
      manners.push_back(Manner::skip);
    } else {
      const bool packed = done[static_cast<size_t>(action.block)].turns > turn;
      manners.push_back(packed ? Manner::replay : Manner::full);
    }
  }
  return manners;
}

}  // namespace bitmill
