#pragma once
// How the samples of a training step go through stages that hold neighbouring blocks: in
// micro-batches, with forwards and backwards that alternate (1F1B). Pure data.

#include <cstdint>
#include <vector>

#include "schedule/reduction_tree.hpp"

namespace bitmill {

// Blocks [blocks s / stages, blocks (s + 1) / stages) for stage s.
PositionRange blocks_of_stage(int64_t blocks, int stages, int stage);

// Cuts a replica's own positions of a batch into micro-batches of at most `most` samples; the same
// on every stage. Two micro-batches for each stage keep the stages busy two thirds of the time.
std::vector<PositionRange> micro_batches(const PositionRange& own, int stages, int64_t most);

struct MicroAction {
  bool forward = true;
  int64_t micro_batch = 0;

  bool operator==(const MicroAction&) const = default;
};

// A stage first does as many forwards as there are stages after it; then every forward is followed
// by a backward. So at most `stages - stage` micro-batches wait for their backward at any time.
std::vector<MicroAction> one_forward_one_backward(int stages, int stage, int64_t micro_batches);

// The most micro-batches that a stage has sent and a neighbour has not taken, both directions
// together: nobody waits while it sends, and neighbours may be slow. The next stage may not have
// begun when this one has done its first forwards. The previous stage may still be at its last
// forward when this one has done every backward that it can.
int64_t most_sent_ahead(int stages, int stage, int64_t micro_batches);

}  // namespace bitmill
