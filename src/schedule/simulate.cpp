#include "schedule/simulate.hpp"

#include <algorithm>
#include <cassert>
#include <optional>

#include "schedule/rank_memory.hpp"

namespace bitmill {
namespace {

// The number of streams with which a turn begins, and which one message of the turn holds.
int travellers_of(const Plan& plan, int turn) { return plan.begins_band(turn) ? 2 : 1; }

// A change in the number of streams that a stage holds.
struct Change {
  double at_s;
  int64_t streams;  // added; negative: removed
};

// From one stage to the next. The vectors are indexed by the number of the message.
struct Link {
  std::vector<double> sent_s;     // when the send was done
  std::vector<double> arrived_s;  // of the messages for which it is known already
  std::vector<double> taken_s;
};

struct StageState {
  size_t next = 0;  // index of the next action
  double now_s = 0;
  int turn = 0;  // of the visit under way
  std::vector<Change> changes;
};

// The targets of a block in a band: the teacher's output, which the stage keeps, and which is also
// the input of the next block.
struct Targets {
  bool kept = false;
  bool input_of_next = false;        // one stage only: the next block has not read them yet
  std::optional<double> left_s;      // when they have been sent over the link
  std::optional<double> unneeded_s;  // when this block does not need them any more
};

class Simulator {
 public:
  Simulator(const Plan& plan, const PlanCosts& costs)
      : plan_(plan),
        costs_(costs),
        states_(plan.stages.size()),
        links_(plan.stages.size()),
        sends_(plan.stages.size()),
        blocks_(static_cast<size_t>(plan.blocks)) {
    result_.stages.resize(plan.stages.size());
  }

  Simulation run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (size_t stage = 0; stage < states_.size(); ++stage) {
        while (perform(stage)) moved = true;
      }
    }
    for (size_t stage = 0; stage < states_.size(); ++stage) {
      assert(states_[stage].next == plan_.stages[stage].size());
      result_.makespan_s = std::max(result_.makespan_s, states_[stage].now_s);
      count_memory(stage);
    }
    return std::move(result_);
  }

 private:
  int travellers(int turn) const { return travellers_of(plan_, turn); }
  size_t before(size_t stage) const { return (stage + states_.size() - 1) % states_.size(); }
  size_t after(size_t stage) const { return (stage + 1) % states_.size(); }

  // False when the stage has done all its actions, or waits for something that is not known yet.
  bool perform(size_t stage) {
    StageState& state = states_[stage];
    if (state.next == plan_.stages[stage].size()) return false;
    const Action& action = plan_.stages[stage][state.next];
    const std::optional<double> begin = earliest_begin(stage, action);
    if (!begin) return false;
    const double seconds = action_seconds(plan_, costs_, action);
    state.now_s = *begin + seconds;
    result_.stages[stage].busy_s += seconds;
    result_.stages[stage].actions.push_back({action, *begin, state.now_s});
    follow(stage, action);
    ++state.next;
    return true;
  }

  std::optional<double> earliest_begin(size_t stage, const Action& action) {
    StageState& state = states_[stage];
    if (action.kind == ActionKind::receive) {
      Link& link = links_[before(stage)];
      deliver(before(stage));
      const size_t message = link.taken_s.size();
      if (message >= link.arrived_s.size()) return std::nullopt;
      return std::max(state.now_s, link.arrived_s[message]);
    }
    if (action.kind == ActionKind::send) {
      const Link& link = links_[stage];
      const size_t message = link.sent_s.size();
      const auto capacity = static_cast<size_t>(plan_.link_capacity);
      if (message < capacity) return state.now_s;
      if (message - capacity >= link.taken_s.size()) return std::nullopt;
      return std::max(state.now_s, link.taken_s[message - capacity]);
    }
    return state.now_s;
  }

  // Records the streams that are held after the action, and what other stages may do then.
  void follow(size_t stage, const Action& action) {
    StageState& state = states_[stage];
    const double now = state.now_s;
    switch (action.kind) {
      case ActionKind::embed:
        return hold(stage, now, travellers(action.turn));
      case ActionKind::receive:
        links_[before(stage)].taken_s.push_back(now);
        return;  // deliver() has counted these streams
      case ActionKind::teach:
        return teach(stage, action);
      case ActionKind::send:
        links_[stage].sent_s.push_back(now);
        sends_[stage].push_back(action);
        return deliver(stage);
      case ActionKind::forward:
        if (reads_on(action.block) && plan_.begins_band(action.turn)) {
          blocks_[static_cast<size_t>(action.block)].input_of_next = true;
        }
        return;  // the student's stream is replaced in place
      case ActionKind::drop:
        return drop(stage, action.block);
      default:
        return;
    }
  }

  // Counts the homologous stream, which is made here. The teacher's output overwrites its input,
  // unless the block before still needs that input as its targets.
  void teach(size_t stage, const Action& action) {
    const double begin = result_.stages[stage].actions.back().begin_s;
    states_[stage].turn = action.turn;
    hold(stage, begin, 1);
    if (!plan_.begins_band(action.turn)) return;
    Targets& targets = blocks_[static_cast<size_t>(action.block)];
    targets = {};
    targets.kept = true;
    if (states_.size() > 1 || action.block == 0) return;
    Targets& before = blocks_[static_cast<size_t>(action.block) - 1];
    before.input_of_next = false;
    if (before.kept) hold(stage, begin, 1);
  }

  void drop(size_t stage, int block) {
    const double now = states_[stage].now_s;
    const int turn = states_[stage].turn;
    hold(stage, now, -1);                                               // homologous
    if (!plan_.sends(block) && !reads_on(block)) hold(stage, now, -1);  // the student's
    if (turn + 1 < plan_.band_end(turn)) return;
    Targets& targets = blocks_[static_cast<size_t>(block)];
    targets.kept = false;
    targets.unneeded_s = now;
    if (plan_.sends(block)) {
      if (targets.left_s) hold(stage, std::max(now, *targets.left_s), -1);
    } else if (!targets.input_of_next) {
      hold(stage, now, -1);
    }
  }

  // Whether the next block is on the same stage and reads the streams that this block leaves.
  bool reads_on(int block) const { return states_.size() == 1 && block + 1 < plan_.blocks; }

  void hold(size_t stage, double at_s, int64_t streams) {
    states_[stage].changes.push_back({at_s, streams});
  }

  // Computes when messages travel, for every message for which that is known by now.
  void deliver(size_t from) {
    Link& link = links_[from];
    while (link.arrived_s.size() < link.sent_s.size()) {
      const size_t message = link.arrived_s.size();
      if (message > 0 && message - 1 >= link.taken_s.size()) return;
      double begin = link.sent_s[message];
      if (message > 0) begin = std::max({begin, link.arrived_s.back(), link.taken_s[message - 1]});
      const int streams = travellers(sends_[from][message].turn);
      const auto bytes = static_cast<double>(streams * costs_.stream_bytes);
      const double end = begin + costs_.link_latency_s + bytes / costs_.link_bytes_per_s;
      link.arrived_s.push_back(end);
      result_.stages[from].sent_bytes += streams * costs_.stream_bytes;
      hold(from, end, -1);
      hold(after(from), begin, streams);
      if (streams == 1) continue;
      // The teacher's stream also stays here as long as it serves as targets.
      Targets& targets = blocks_[static_cast<size_t>(sends_[from][message].block)];
      targets.left_s = end;
      if (targets.unneeded_s) hold(from, std::max(end, *targets.unneeded_s), -1);
    }
  }

  void count_memory(size_t stage) {
    auto& changes = states_[stage].changes;
    std::stable_sort(changes.begin(), changes.end(),
                     [](const Change& a, const Change& b) { return a.at_s < b.at_s; });
    int64_t held = 0, most = 0;
    for (const Change& change : changes) {
      held += change.streams;
      most = std::max(most, held);
    }
    SimulatedStage& result = result_.stages[stage];
    result.peak_stream_bytes = most * costs_.stream_bytes;
    result.left_over_bytes = held * costs_.stream_bytes;
    const bool idle = plan_.stages[stage].empty();
    result.peak_bytes =
        idle ? costs_.fixed_bytes
             : rank_peak_bytes(costs_, result.peak_stream_bytes, /*assembles=*/stage == 0);
    result.host_bytes =
        idle ? (costs_.own_device ? costs_.host_fixed_bytes : costs_.fixed_bytes)
             : rank_host_bytes(costs_, result.peak_stream_bytes, /*assembles=*/stage == 0);
  }

  const Plan& plan_;
  const PlanCosts& costs_;
  std::vector<StageState> states_;
  std::vector<Link> links_;                 // by sending stage
  std::vector<std::vector<Action>> sends_;  // by sending stage, in order
  std::vector<Targets> blocks_;             // of the band that a block is in
  Simulation result_;
};

}  // namespace

double action_seconds(const Plan& plan, const PlanCosts& costs, const Action& action) {
  switch (action.kind) {
    case ActionKind::embed:
      return travellers_of(plan, action.turn) * costs.embed_s;
    case ActionKind::load:
      return costs.load_s;
    case ActionKind::teach:
      return travellers_of(plan, action.turn) * costs.forward_s + costs.prepare_s +
             (action.turn == 0 ? costs.first_s : 0);
    case ActionKind::train:
      return plan.lag * costs.epoch_s;
    case ActionKind::pack:
      return costs.pack_s;
    case ActionKind::forward:
      return costs.forward_s;
    case ActionKind::receive:
    case ActionKind::send:
    case ActionKind::drop:
      return 0;
  }
  return 0;
}

double Simulation::idle_fraction() const {
  double busy = 0;
  for (const SimulatedStage& stage : stages) busy += stage.busy_s;
  const double all = makespan_s * static_cast<double>(stages.size());
  return all > 0 ? std::max(0.0, 1 - busy / all) : 0;
}

int64_t Simulation::peak_bytes() const {
  int64_t most = 0;
  for (const SimulatedStage& stage : stages) most = std::max(most, stage.peak_bytes);
  return most;
}

int64_t Simulation::host_bytes() const {
  int64_t most = 0;
  for (const SimulatedStage& stage : stages) most = std::max(most, stage.host_bytes);
  return most;
}

int64_t Simulation::peak_stream_bytes() const {
  int64_t most = 0;
  for (const SimulatedStage& stage : stages) most = std::max(most, stage.peak_stream_bytes);
  return most;
}

Simulation simulate(const Plan& plan, const PlanCosts& costs) {
  return Simulator(plan, costs).run();
}

Simulation simulate_training(const Plan& plan, const PlanCosts& costs) {
  PlanCosts timed = costs;
  timed.embed_s = timed.load_s = timed.forward_s = timed.prepare_s = timed.first_s = 0;
  timed.pack_s = timed.link_latency_s = 0;
  timed.epoch_s = 1;
  // A stream travels in 1e-9 of an epoch.
  timed.link_bytes_per_s = 1e9 * static_cast<double>(std::max<int64_t>(1, costs.stream_bytes));
  return simulate(plan, timed);
}

}  // namespace bitmill
