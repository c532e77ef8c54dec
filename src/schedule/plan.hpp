#pragma once
// A plan is data: the actions of a rank, in order. Planning reads no clock, no device and no file,
// so every plan can be printed, checked and executed by a fake.
//
// Turn (l, k), k = 0 .. epochs/lag - 1, trains block l for `lag` epochs. It needs turn (l, k-1) and
// the student's stream that turn (l-1, k) produced.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitmill {

enum class ActionKind {
  embed,    // "E<k>"      both streams start at the embeddings, sweep k
  load,     // "L<l>"      weights of block l become resident, with what earlier turns left
  teach,    // "T<l>.<k>"  teacher forwards: targets of the turn; before turn 0 also the 4-bit grid,
            //             the mask, the signs and the first scales
  train,    // "O<l>.<k>"  epochs [k lag, (k+1) lag)
  pack,     // "P<l>.<k>"  round to what is stored; the last turn commits the block
  forward,  // "F<l>.<k>"  the packed student hands its stream on
  drop,     // "D<l>"      the block leaves memory
};

struct Action {
  ActionKind kind = ActionKind::embed;
  int block = -1;  // -1 for embed
  int turn = -1;   // -1 for load and drop

  bool operator==(const Action&) const = default;
};

std::string to_token(const Action& action);
// UsageError on anything that to_token does not print.
Action parse_token(std::string_view token);

struct Plan {
  int blocks = 0;
  int epochs = 0;
  int lag = 0;
  std::vector<Action> actions;  // of every replica of the one stage

  int turns() const { return epochs / lag; }
};

// One stage: every block's turn k, then every block's turn k + 1; one block resident at a time.
// The last block's stream has no reader but the report on the finished model, so that block
// forwards in the last sweep only. UsageError when lag does not divide epochs; it names the two
// nearest divisors.
Plan plan_sweeps(int blocks, int epochs, int lag);

// Empty when the plan is executable and complete; otherwise the first thing that is wrong, in
// words: an action on a block that is not resident, a turn out of order, a stream that was not
// handed on, a block that is never committed or leaves memory with unpacked work, two blocks
// resident at once. A forward that nobody reads is waste, not a fault.
std::string find_fault(const Plan& plan);

// Tokens separated by blanks, one line per block visit. For people and for tests.
std::string draw(const Plan& plan);

// The divisors of `epochs` nearest to `lag`: the largest that is at most lag (or 1), the smallest
// that is at least lag (or `epochs`). epochs >= 1.
std::pair<int, int> nearest_divisors(int epochs, int lag);

}  // namespace bitmill
