#include "schedule/action.hpp"

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

constexpr std::array<Notation, 9> notations = {{
    {ActionKind::embed, 'E', false, true},
    {ActionKind::receive, 'R', true, true},
    {ActionKind::load, 'L', true, false},
    {ActionKind::teach, 'T', true, true},
    {ActionKind::train, 'O', true, true},
    {ActionKind::pack, 'P', true, true},
    {ActionKind::forward, 'F', true, true},
    {ActionKind::send, 'S', true, true},
    {ActionKind::drop, 'D', true, false},
}};

const Notation& notation_of(ActionKind kind) { return notations[static_cast<size_t>(kind)]; }

// Reads a number at the beginning of `text` and removes it there. Nothing when there is none.
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

}  // namespace

std::string to_token(const Action& action) {
  const Notation& notation = notation_of(action.kind);
  if (!notation.has_block) return fmt::format("{}{}", notation.letter, action.turn);
  if (!notation.has_turn) return fmt::format("{}{}", notation.letter, action.block);
  return fmt::format("{}{}.{}", notation.letter, action.block, action.turn);
}

Action parse_token(std::string_view token) {
  const auto action = read_token(token);
  // The comparison with the printed form refuses leading zeros and text after the action.
  BITMILL_CHECK(action && to_token(*action) == token, UsageError,
                fmt::format("\"{}\" is not an action of a plan; actions look like E0, R3.0, L3, "
                            "T3.0, O3.0, P3.0, F3.0, S3.0 or D3",
                            token));
  return *action;
}

}  // namespace bitmill
