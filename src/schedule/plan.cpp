#include "schedule/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/error.hpp"

namespace bitmill {
namespace {

struct Notation {
  ActionKind kind;
  char letter;
  bool has_block;
  bool has_turn;
};

constexpr std::array<Notation, 7> notations = {{
    {ActionKind::embed, 'E', false, true},
    {ActionKind::load, 'L', true, false},
    {ActionKind::teach, 'T', true, true},
    {ActionKind::train, 'O', true, true},
    {ActionKind::pack, 'P', true, true},
    {ActionKind::forward, 'F', true, true},
    {ActionKind::drop, 'D', true, false},
}};

const Notation& notation_of(ActionKind kind) { return notations[static_cast<size_t>(kind)]; }

// Takes a number off the front of `text`; nothing when there is none.
std::optional<int> take_number(std::string_view& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

std::optional<Action> read_token(std::string_view token) {
  if (token.empty()) return std::nullopt;
  const auto* notation = std::find_if(notations.begin(), notations.end(),
                                      [&](const Notation& n) { return n.letter == token.front(); });
  if (notation == notations.end()) return std::nullopt;
  token.remove_prefix(1);

  Action action{notation->kind};
  const auto first = take_number(token);
  if (!first) return std::nullopt;
  (notation->has_block ? action.block : action.turn) = *first;
  if (notation->has_block && notation->has_turn) {
    if (!token.starts_with('.')) return std::nullopt;
    token.remove_prefix(1);
    const auto turn = take_number(token);
    if (!turn) return std::nullopt;
    action.turn = *turn;
  }
  return action;
}

// Carries out a plan without doing any work. Every method returns a fault, or nothing.
class Rehearsal {
 public:
  explicit Rehearsal(const Plan& plan)
      : plan_(plan), turns_done_(static_cast<size_t>(plan.blocks)) {}

  std::string perform(const Action& action) {
    switch (action.kind) {
      case ActionKind::embed:
        return embed(action.turn);
      case ActionKind::load:
        return load(action.block);
      case ActionKind::teach:
        return teach(action.block, action.turn);
      case ActionKind::train:
        return advance(action, Phase::taught, Phase::trained, "its targets");
      case ActionKind::pack:
        return pack(action);
      case ActionKind::forward:
        return forward(action);
      case ActionKind::drop:
        return drop(action.block);
    }
    return "unknown kind of action";
  }

  std::string finish() const {
    for (int block = 0; block < plan_.blocks; ++block) {
      if (turns_done(block) < plan_.turns()) {
        return fmt::format("block {} is never committed: {} of its {} turns are packed", block,
                           turns_done(block), plan_.turns());
      }
    }
    if (resident_ >= 0) return fmt::format("block {} never leaves memory", resident_);
    if (stream_block_ != plan_.blocks) {
      return fmt::format("the stream of turn {} was not handed on by block {}", stream_turn_,
                         stream_block_);
    }
    return "";
  }

 private:
  // What the resident block has behind it since it was loaded.
  enum class Phase { loaded, taught, trained, packed, forwarded };

  int turns_done(int block) const { return turns_done_[static_cast<size_t>(block)]; }

  std::string embed(int turn) {
    if (turn != stream_turn_ + 1 || turn >= plan_.turns()) {
      return fmt::format("the streams start turn {}, and turn {} of {} comes next", turn,
                         stream_turn_ + 1, plan_.turns());
    }
    stream_turn_ = turn;
    stream_block_ = 0;
    return "";
  }

  std::string load(int block) {
    if (block < 0 || block >= plan_.blocks) {
      return fmt::format("there is no block {} among {}", block, plan_.blocks);
    }
    if (resident_ == block) return fmt::format("block {} is already resident", block);
    if (resident_ >= 0) {
      return fmt::format("blocks {} and {} are resident at once", resident_, block);
    }
    resident_ = block;
    phase_ = Phase::loaded;
    return "";
  }

  std::string teach(int block, int turn) {
    if (auto fault = not_resident(block); !fault.empty()) return fault;
    if (phase_ != Phase::loaded || turn != turns_done(block)) {
      return fmt::format("turn {} of block {} is out of order: {} turns are packed{}", turn, block,
                         turns_done(block), phase_ == Phase::loaded ? "" : ", one was begun");
    }
    if (stream_turn_ != turn || stream_block_ != block) {
      return fmt::format("the stream of turn {} was not handed on to block {}: {}", turn, block,
                         stream_turn_ < 0 ? std::string("no stream has started")
                                          : fmt::format("the stream of turn {} is at block {}",
                                                        stream_turn_, stream_block_));
    }
    turn_ = turn;
    phase_ = Phase::taught;
    return "";
  }

  // An action of the turn that the resident block is in, which must have come as far as `from`.
  std::string advance(const Action& action, Phase from, Phase to, const char* needs) {
    if (auto fault = not_resident(action.block); !fault.empty()) return fault;
    if (phase_ != from || action.turn != turn_) {
      return fmt::format("turn {} of block {} is out of order: {} must be ready and not yet used",
                         action.turn, action.block, needs);
    }
    phase_ = to;
    return "";
  }

  std::string pack(const Action& action) {
    auto fault = advance(action, Phase::trained, Phase::packed, "trained values");
    if (fault.empty()) ++turns_done_[static_cast<size_t>(action.block)];
    return fault;
  }

  std::string forward(const Action& action) {
    auto fault = advance(action, Phase::packed, Phase::forwarded, "packed values");
    if (fault.empty()) stream_block_ = action.block + 1;
    return fault;
  }

  std::string drop(int block) {
    if (auto fault = not_resident(block); !fault.empty()) return fault;
    if (phase_ < Phase::packed) {
      return fmt::format("block {} leaves memory before its turn is packed", block);
    }
    resident_ = -1;
    return "";
  }

  std::string not_resident(int block) const {
    return resident_ >= 0 && resident_ == block ? ""
                                                : fmt::format("block {} is not resident", block);
  }

  const Plan& plan_;
  std::vector<int> turns_done_;  // [blocks] packed
  int resident_ = -1;            // block, or -1
  Phase phase_ = Phase::loaded;  // of the resident block
  int turn_ = -1;                // that the resident block is in
  int stream_turn_ = -1;         // -1 before the first embed
  int stream_block_ = 0;         // which block reads the stream next
};

}  // namespace

std::string to_token(const Action& action) {
  const Notation& notation = notation_of(action.kind);
  if (!notation.has_block) return fmt::format("{}{}", notation.letter, action.turn);
  if (!notation.has_turn) return fmt::format("{}{}", notation.letter, action.block);
  return fmt::format("{}{}.{}", notation.letter, action.block, action.turn);
}

Action parse_token(std::string_view token) {
  const auto action = read_token(token);
  // Printing it again refuses leading zeros and whatever follows.
  BITMILL_CHECK(action && to_token(*action) == token, UsageError,
                fmt::format("\"{}\" is not an action of a plan; actions look like E0, L3, T3.0, "
                            "O3.0, P3.0, F3.0 or D3",
                            token));
  return *action;
}

Plan plan_sweeps(int blocks, int epochs, int lag) {
  BITMILL_CHECK(blocks >= 1 && epochs >= 1, UsageError,
                fmt::format("a plan needs at least one block and one epoch, and got {} and {}",
                            blocks, epochs));
  if (lag < 1 || epochs % lag != 0) {
    const auto [below, above] = nearest_divisors(epochs, lag);
    throw UsageError(
        fmt::format("lag {} does not divide {} epochs; the nearest that do are {} and {}", lag,
                    epochs, below, above));
  }
  Plan plan{blocks, epochs, lag, {}};
  for (int turn = 0; turn < plan.turns(); ++turn) {
    plan.actions.push_back({ActionKind::embed, -1, turn});
    for (int block = 0; block < blocks; ++block) {
      plan.actions.push_back({ActionKind::load, block, -1});
      plan.actions.push_back({ActionKind::teach, block, turn});
      plan.actions.push_back({ActionKind::train, block, turn});
      plan.actions.push_back({ActionKind::pack, block, turn});
      if (block + 1 < blocks || turn + 1 == plan.turns()) {
        plan.actions.push_back({ActionKind::forward, block, turn});
      }
      plan.actions.push_back({ActionKind::drop, block, -1});
    }
  }
  return plan;
}

std::string find_fault(const Plan& plan) {
  if (plan.blocks < 1 || plan.epochs < 1 || plan.lag < 1 || plan.epochs % plan.lag != 0) {
    return fmt::format("a plan of {} blocks, {} epochs and lag {} makes no sense", plan.blocks,
                       plan.epochs, plan.lag);
  }
  Rehearsal rehearsal(plan);
  for (size_t i = 0; i < plan.actions.size(); ++i) {
    const std::string fault = rehearsal.perform(plan.actions[i]);
    if (!fault.empty()) {
      return fmt::format("action {} ({}): {}", i, to_token(plan.actions[i]), fault);
    }
  }
  return rehearsal.finish();
}

std::string draw(const Plan& plan) {
  std::string text;
  for (const Action& action : plan.actions) {
    text += to_token(action);
    const bool ends_line = action.kind == ActionKind::embed || action.kind == ActionKind::drop;
    text += ends_line ? '\n' : ' ';
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
