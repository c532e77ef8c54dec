#pragma once
// One thing that a stage does, and its short name.

#include <string>
#include <string_view>

namespace bitmill {

enum class ActionKind {
  embed,    // "E<k>"      make the streams of turn k from the embeddings
  receive,  // "R<l>.<k>"  get the streams that block l reads at turn k from the previous stage
  load,     // "L<l>"      load the weights of block l, and what its earlier turns have saved
  teach,    // "T<l>.<k>"  teacher forwards: targets of the turn; before turn 0 also the 4-bit grid,
  //             the mask, the signs and the first scales
  train,    // "O<l>.<k>"  epochs [k lag, (k+1) lag)
  pack,     // "P<l>.<k>"  round to what is stored; the last turn commits the block
  forward,  // "F<l>.<k>"  the packed student hands its stream on
  send,     // "S<l>.<k>"  send what block l handed on to the next stage; pairs with R<l+1>.<k>
  drop,     // "D<l>"      the block leaves memory
};

struct Action {
  ActionKind kind = ActionKind::embed;
  int block = -1;  // -1 for embed
  int turn = -1;   // -1 for load and drop

  bool operator==(const Action&) const = default;
};

// An action with its times, in a simulation or on a rank: seconds since a common beginning.
struct TimedAction {
  Action action;
  double begin_s = 0;
  double end_s = 0;
};

std::string to_token(const Action& action);
// UsageError for anything that to_token() does not print.
Action parse_token(std::string_view token);

}  // namespace bitmill
