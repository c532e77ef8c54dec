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

// Turns are taken from the last to the first: where a band can begin depends on what its later
// turns visit.
Remaining::Remaining(const Plan& plan, const std::vector<BlockDone>& done, const KeptStreams& kept)
    : plan_(plan), done_(done), kept_(kept), start_(static_cast<size_t>(plan.turns()), 0) {
  assert(std::ssize(done) == plan.blocks);
  for (int turn = 0; turn < plan.turns(); ++turn) {
    const bool teacher = plan.begins_band(turn);
    last_.push_back(last_unpacked(teacher ? plan.band_end(turn) - 1 : turn));
  }
  for (int turn = plan.turns() - 1; turn >= 0; --turn) {
    start_[static_cast<size_t>(turn)] =
        plan.begins_band(turn) ? band_start(turn) : student_start(turn);
  }
}

// The last block that has not packed `turn`, and so no later turn either; -1 when there is none.
int Remaining::last_unpacked(int turn) const {
  for (int block = plan_.blocks - 1; block >= 0; --block) {
    if (done_[static_cast<size_t>(block)].turns <= turn) return block;
  }
  return -1;
}

// plan.blocks when there is none.
int Remaining::first_unpacked(int turn) const {
  for (int block = 0; block < plan_.blocks; ++block) {
    if (done_[static_cast<size_t>(block)].turns <= turn) return block;
  }
  return plan_.blocks;
}

int Remaining::student_start(int turn) const {
  int block = std::min(first_unpacked(turn), last_[static_cast<size_t>(turn)]);
  while (block > 0 && !kept_.contains(student_stream(block, turn))) --block;
  return std::max(block, 0);
}

int Remaining::band_start(int turn) const {
  int block = std::min(first_unpacked(turn), last_[static_cast<size_t>(turn)] + 1);
  while (block > 0 && !can_begin(block, turn)) --block;
  return block;
}

bool Remaining::can_begin(int block, int turn) const {
  if (block <= last_[static_cast<size_t>(turn)]) {
    const bool teacher = kept_.contains(teacher_stream(block)) || takes_targets(block, turn);
    if (!teacher || !kept_.contains(student_stream(block, turn))) return false;
  }
  for (int before = 0; before < block; ++before) {
    if (comes_back(before, turn) && !kept_.contains(teacher_stream(before + 1))) return false;
  }
  return true;
}

// A block that begins anew needs its own inputs of the teacher, for their statistics.
bool Remaining::takes_targets(int block, int turn) const {
  const BlockDone& own = done_[static_cast<size_t>(block)];
  const bool begins_anew = turn == 0 && own.turns == 0 && own.steps == 0;
  return !begins_anew && kept_.contains(teacher_stream(block + 1));
}

Manner Remaining::visit(int block, int turn) const {
  if (block < start(turn) || block > last_[static_cast<size_t>(turn)]) return Manner::skip;
  return done_[static_cast<size_t>(block)].turns > turn ? Manner::replay : Manner::full;
}

// Of the streams that a visit reads: sent and received, or made from the tokens.
Manner Remaining::arrival(int block, int turn) const {
  const bool is_kept = block > 0 && block == start(turn);
  return is_kept || visit(block, turn) == Manner::skip ? Manner::skip : Manner::full;
}

std::vector<Manner> Remaining::of_stage(int stage) const {
  const std::vector<Action>& actions = plan_.stages[static_cast<size_t>(stage)];
  std::vector<Manner> manners;
  for (size_t i = 0; i < actions.size(); ++i) {
    const Action& action = actions[i];
    switch (action.kind) {
      case ActionKind::embed:
        manners.push_back(arrival(0, action.turn));
        break;
      case ActionKind::receive:
        manners.push_back(arrival(action.block, action.turn));
        break;
      case ActionKind::send:
        manners.push_back(arrival(action.block + 1, action.turn));
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
  }
  return manners;
}

bool Remaining::comes_back(int block, int turn) const {
  for (int later = turn + 1; later < plan_.band_end(turn); ++later) {
    if (visit(block, later) != Manner::skip) return true;
  }
  return false;
}

std::vector<int> Remaining::unvisited() const {
  std::vector<int> blocks;
  for (int block = 0; block < plan_.blocks; ++block) {
    bool visited = false;
    for (int turn = 0; turn < plan_.turns(); ++turn) {
      visited = visited || visit(block, turn) != Manner::skip;
    }
    if (!visited) blocks.push_back(block);
  }
  return blocks;
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

std::vector<KeptUse> Remaining::uses(int block, int turn) const {
  using Role = KeptUse::Role;
  std::vector<KeptUse> all;
  if (visit(block, turn) == Manner::skip) return all;
  const bool begins = block > 0 && block == start(turn);
  if (begins) all.push_back({student_stream(block, turn), Role::student});
  if (!plan_.begins_band(turn)) {
    // The targets of a block before the band's start, at the first turn that visits it.
    const int first = plan_.band_begin(turn);
    bool are_there = block >= start(first);
    for (int earlier = first; earlier < turn; ++earlier) {
      are_there = are_there || visit(block, earlier) != Manner::skip;
    }
    if (!are_there) all.push_back({teacher_stream(block + 1), Role::targets});
  } else if (begins) {
    all.push_back(takes_targets(block, turn) ? KeptUse{teacher_stream(block + 1), Role::targets}
                                             : KeptUse{teacher_stream(block), Role::teacher});
  }
  return all;
}

KeptStreams Remaining::used() const {
  KeptStreams all;
  for (int block = 0; block < plan_.blocks; ++block) {
    for (int turn = 0; turn < plan_.turns(); ++turn) {
      for (const KeptUse& use : uses(block, turn)) all.insert(use.stream);
    }
  }
  return all;
}

}  // namespace bitmill
