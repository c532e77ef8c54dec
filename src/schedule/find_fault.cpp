// find_fault() of plan.hpp: it goes through the actions of a plan as a job would, but without work.

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "schedule/plan.hpp"

namespace bitmill {
namespace {

// (block, turn)
using Visit = std::pair<int, int>;

// What was done last with a resident block.
enum class Phase { loaded, taught, trained, packed, forwarded };

struct Stage {
  size_t next = 0;                // index of the next action
  int resident = -1;              // block, or -1
  Phase phase = Phase::loaded;    // of the resident block
  int turn = -1;                  // of the resident block
  std::set<Visit> made;           // streams on this stage, by the visit that reads them next
  std::deque<Visit> from_before;  // sent by the previous stage, and not yet received
};

class Rehearsal {
 public:
  explicit Rehearsal(const Plan& plan)
      : plan_(plan),
        turns_done_(static_cast<size_t>(plan.blocks)),
        stages_(static_cast<size_t>(plan.stage_count())) {}

  std::string run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (int stage = 0; stage < plan_.stage_count(); ++stage) {
        while (can_go_on(stage)) {
          if (std::string fault = perform(stage); !fault.empty()) return fault;
          moved = true;
        }
      }
    }
    return finish();
  }

 private:
  const Action* next_action(int stage) const {
    const auto& actions = plan_.stages[static_cast<size_t>(stage)];
    const size_t next = stages_[static_cast<size_t>(stage)].next;
    return next < actions.size() ? &actions[next] : nullptr;
  }

  // Only a receive and a send may have to wait.
  bool can_go_on(int stage) const {
    const Action* action = next_action(stage);
    if (action == nullptr) return false;
    if (action->kind == ActionKind::receive) {
      return !stages_[static_cast<size_t>(stage)].from_before.empty();
    }
    if (action->kind == ActionKind::send) {
      return std::ssize(after(stage).from_before) < plan_.link_capacity;
    }
    return true;
  }

  std::string perform(int stage) {
    const Action action = *next_action(stage);
    Stage& here = stages_[static_cast<size_t>(stage)];
    const std::string words = act(action, stage, here);
    ++here.next;
    if (words.empty()) return "";
    return fmt::format("{}action {} ({}): {}",
                       plan_.stage_count() > 1 ? fmt::format("stage {}, ", stage) : "",
                       here.next - 1, to_token(action), words);
  }

  std::string act(const Action& action, int stage, Stage& here) {
    if (action.kind == ActionKind::embed) return embed(action.turn, stage, here);
    if (action.block < 0 || action.block >= plan_.blocks) {
      return fmt::format("there is no block {} among {}", action.block, plan_.blocks);
    }
    if (plan_.stage_of_block(action.block) != stage) {
      return fmt::format("block {} lives on stage {}", action.block,
                         plan_.stage_of_block(action.block));
    }
    switch (action.kind) {
      case ActionKind::receive:
        return receive(action, here);
      case ActionKind::load:
        return load(action.block, here);
      case ActionKind::send:
        return send(action, stage, here);
      default:
        return on_resident(action, here);
    }
  }

  std::string on_resident(const Action& action, Stage& here) {
    if (here.resident != action.block) {
      return fmt::format("block {} is not resident", action.block);
    }
    switch (action.kind) {
      case ActionKind::teach:
        return teach(action, here);
      case ActionKind::train:
        return advance(action, Phase::taught, Phase::trained, "its targets", here);
      case ActionKind::pack:
        return pack(action, here);
      case ActionKind::forward:
        return forward(action, here);
      case ActionKind::drop:
        return drop(action.block, here);
      default:
        return "unknown kind of action";
    }
  }

  std::string embed(int turn, int stage, Stage& here) {
    if (stage != 0) return "the streams start on stage 0";
    if (turn != embedded_ + 1 || turn >= plan_.turns()) {
      return fmt::format("the streams start turn {}, and turn {} of {} comes next", turn,
                         embedded_ + 1, plan_.turns());
    }
    embedded_ = turn;
    here.made.emplace(0, turn);
    return "";
  }

  std::string receive(const Action& action, Stage& here) {
    const Visit visit = here.from_before.front();
    here.from_before.pop_front();
    if (visit != Visit{action.block, action.turn}) {
      return fmt::format("the next that was sent is for block {}, turn {}", visit.first,
                         visit.second);
    }
    here.made.insert(visit);
    return "";
  }

  std::string load(int block, Stage& here) {
    if (here.resident == block) return fmt::format("block {} is already resident", block);
    if (here.resident >= 0) {
      return fmt::format("blocks {} and {} are resident at once", here.resident, block);
    }
    here.resident = block;
    here.phase = Phase::loaded;
    return "";
  }

  std::string teach(const Action& action, Stage& here) {
    const int done = turns_done_[static_cast<size_t>(action.block)];
    if (here.phase != Phase::loaded || action.turn != done) {
      return fmt::format("turn {} of block {} is out of order: {} turns are packed{}", action.turn,
                         action.block, done, here.phase == Phase::loaded ? "" : ", one was begun");
    }
    if (here.made.erase({action.block, action.turn}) == 0) {
      return fmt::format("the stream of turn {} was not handed on to block {}", action.turn,
                         action.block);
    }
    here.turn = action.turn;
    here.phase = Phase::taught;
    return "";
  }

  // For an action of the resident block's turn: moves the phase, which must be `from`, to `to`.
  std::string advance(const Action& action, Phase from, Phase to, const char* needs, Stage& here) {
    if (here.phase != from || action.turn != here.turn) {
      return fmt::format("turn {} of block {} is out of order: {} must be ready and not yet used",
                         action.turn, action.block, needs);
    }
    here.phase = to;
    return "";
  }

  std::string pack(const Action& action, Stage& here) {
    auto fault = advance(action, Phase::trained, Phase::packed, "trained values", here);
    if (fault.empty()) ++turns_done_[static_cast<size_t>(action.block)];
    return fault;
  }

  std::string forward(const Action& action, Stage& here) {
    auto fault = advance(action, Phase::packed, Phase::forwarded, "packed values", here);
    if (fault.empty()) here.made.emplace(action.block + 1, action.turn);
    return fault;
  }

  std::string send(const Action& action, int stage, Stage& here) {
    if (!plan_.sends(action.block)) return "nobody receives it";
    const Visit visit{action.block + 1, action.turn};
    if (here.made.erase(visit) == 0) {
      return fmt::format("block {} did not hand the stream of turn {} on", action.block,
                         action.turn);
    }
    after(stage).from_before.push_back(visit);
    return "";
  }

  std::string drop(int block, Stage& here) {
    if (here.phase < Phase::packed) {
      return fmt::format("block {} leaves memory before its turn is packed", block);
    }
    here.resident = -1;
    return "";
  }

  std::string finish() const {
    std::string waiting;
    for (int stage = 0; stage < plan_.stage_count(); ++stage) {
      if (const Action* action = next_action(stage)) {
        waiting +=
            fmt::format("{}stage {} at {}", waiting.empty() ? "" : ", ", stage, to_token(*action));
      }
    }
    if (!waiting.empty()) return "the stages wait for ever: " + waiting;
    for (int block = 0; block < plan_.blocks; ++block) {
      const int done = turns_done_[static_cast<size_t>(block)];
      if (done < plan_.turns()) {
        return fmt::format("block {} is never committed: {} of its {} turns are packed", block,
                           done, plan_.turns());
      }
    }
    return left_over();
  }

  std::string left_over() const {
    for (const Stage& stage : stages_) {
      if (stage.resident >= 0) return fmt::format("block {} never leaves memory", stage.resident);
      if (!stage.from_before.empty()) {
        const auto [block, turn] = stage.from_before.front();
        return fmt::format("what was sent for block {}, turn {}, is never received", block, turn);
      }
    }
    const int last = plan_.blocks - 1;
    const auto& made = stages_[static_cast<size_t>(plan_.stage_of_block(last))].made;
    if (made.contains({plan_.blocks, plan_.turns() - 1})) return "";
    return fmt::format("the stream of turn {} was not handed on by block {}", plan_.turns() - 1,
                       last);
  }

  Stage& after(int stage) {
    return stages_[static_cast<size_t>((stage + 1) % plan_.stage_count())];
  }
  const Stage& after(int stage) const {
    return stages_[static_cast<size_t>((stage + 1) % plan_.stage_count())];
  }

  const Plan& plan_;
  std::vector<int> turns_done_;  // [blocks] packed
  std::vector<Stage> stages_;
  int embedded_ = -1;  // the last turn whose streams have started
};

}  // namespace

std::string find_fault(const Plan& plan) {
  if (plan.blocks < 1 || plan.epochs < 1 || plan.lag < 1 || plan.epochs % plan.lag != 0 ||
      plan.stages.empty() || plan.band < 1 || plan.link_capacity < 1) {
    return fmt::format(
        "a plan of {} blocks, {} epochs, lag {}, {} stages, bands of {} and links of {} makes no "
        "sense",
        plan.blocks, plan.epochs, plan.lag, plan.stages.size(), plan.band, plan.link_capacity);
  }
  return Rehearsal(plan).run();
}

}  // namespace bitmill
