#pragma once
// One thing that a stage does, and its short name.

#include <string>
#include <string_view>

namespace bitmill {

enum class ActionKind {
  embed,    // "E<k>"      the streams of turn k start at the embeddings
  receive,  // "R<l>.<k>"  what block l reads at turn k comes from the stage before
  load,     // "L<l>"      weights of block l become resident, with what earlier turns left
  teach,    // "T<l>.<k>"  teacher forwards: targets of the turn; before turn 0 also the 4-bit grid,
            //             the mask, the signs and the first scales
  train,    // "O<l>.<k>"  epochs [k lag, (k+1) lag)
  pack,     // "P<l>.<k>"  round to what is stored; the last turn commits the block
  forward,  // "F<l>.<k>"  the packed student hands its stream on
  send,     // "S<l>.<k>"  what block l handed on goes to the stage after; pairs with R<l+1>.<k>
  drop,     // "D<l>"      the block leaves memory
};

struct Action {
  ActionKind kind = ActionKind::embed;
  int block = -1;  // -1 for embed
  int turn = -1;   // -1 for load and drop

  bool operator==(const Action&) const = default;
};

// When it is done, in a plan or by a rank: seconds from a common beginning.
struct TimedAction {
  Action action;
  double begin_s = 0;
  double end_s = 0;
};

std::string to_token(const Action& action);
// UsageError on anything that to_token does not print.
Action parse_token(std::string_view token);

}  // namespace bitmill
