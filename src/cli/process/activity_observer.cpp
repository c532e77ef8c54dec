#include "cli/process/activity_observer.hpp"

#include <fmt/format.h>

namespace bitmill {
namespace {

const char* word_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::embed:
      return "embed";
    case ActionKind::receive:
      return "receive";
    case ActionKind::load:
      return "load";
    case ActionKind::teach:
      return "teach";
    case ActionKind::train:
      return "train";
    case ActionKind::pack:
      return "pack";
    case ActionKind::forward:
      return "forward";
    case ActionKind::send:
      return "send";
    case ActionKind::drop:
      return "drop";
  }
  return "unknown action";
}

}  // namespace

void ActivityObserver::action_begins(const Action& action) {
  const char* word = word_of(action.kind);
  activity_.set(action.block < 0 ? std::string(word)
                                 : fmt::format("block {}, {}", action.block, word));
  ForwardingObserver::action_begins(action);
}

void ActivityObserver::step_done(const Position& at) {
  activity_.set(
      fmt::format("block {}, train, epoch {}, after step {}", at.block, at.epoch, at.step));
  ForwardingObserver::step_done(at);
}

void ActivityObserver::epoch_done(const Position& at, double loss) {
  activity_.set(fmt::format("block {}, train, after epoch {}", at.block, at.epoch));
  ForwardingObserver::epoch_done(at, loss);
}

void ActivityObserver::phase_begins(const std::string& phase) {
  activity_.set(phase);
  ForwardingObserver::phase_begins(phase);
}

}  // namespace bitmill
