#include "schedule/micro_batches.hpp"

#include <algorithm>
#include <cassert>

namespace bitmill {

PositionRange blocks_of_stage(int64_t blocks, int stages, int stage) {
  return owned_positions(blocks, stages, stage);
}

std::vector<PositionRange> micro_batches(const PositionRange& own, int stages, int64_t most) {
  assert(most >= 1);
  const int64_t share = stages == 1 ? own.size() : own.size() / (2 * int64_t{stages});
  const int64_t size = std::clamp<int64_t>(share, 1, most);
  std::vector<PositionRange> all;
  for (int64_t first = own.begin; first < own.end; first += size) {
    all.push_back({first, std::min(own.end, first + size)});
  }
  return all;
}

std::vector<MicroAction> one_forward_one_backward(int stages, int stage, int64_t micro_batches) {
  assert(0 <= stage && stage < stages);
  std::vector<MicroAction> actions;
  const int64_t ahead = std::min<int64_t>(stages - stage - 1, micro_batches);
  int64_t forwards = 0;
  for (; forwards < ahead; ++forwards) actions.push_back({true, forwards});
  for (int64_t backwards = 0; backwards < micro_batches; ++backwards) {
    if (forwards < micro_batches) actions.push_back({true, forwards++});
    actions.push_back({false, backwards});
  }
  return actions;
}

int64_t most_sent_ahead(int stages, int stage, int64_t micro_batches) {
  assert(0 <= stage && stage < stages);
  const int64_t waiting = stages - stage;  // between their forward and backward here
  int64_t sent = 0;
  if (stage + 1 < stages) sent += std::min(waiting, micro_batches);
  if (stage > 0) sent += std::min(waiting + 1, micro_batches);
  return sent;
}

}  // namespace bitmill
