#pragma once
// How the samples of a training step flow through stages that hold contiguous blocks: in
// micro-batches, one forward and one backward in turn (1F1B). Pure data.

#include <cstdint>
#include <vector>

#include "schedule/reduction_tree.hpp"

namespace bitmill {

// Blocks [blocks s / stages, blocks (s + 1) / stages).
PositionRange blocks_of_stage(int64_t blocks, int stages, int stage);

// A replica's own positions of a batch, cut: two micro-batches for each stage fill the pipeline two
// thirds of the time, and one has at most `most` samples. The same on every stage.
std::vector<PositionRange> micro_batches(const PositionRange& own, int stages, int64_t most);

struct MicroAction {
  bool forward = true;
  int64_t micro_batch = 0;

  bool operator==(const MicroAction&) const = default;
};

// A stage is ahead by as many forwards as there are stages behind it; then every forward is
// followed by a backward. So no more than stages - stage micro-batches are ever between the two.
std::vector<MicroAction> one_forward_one_backward(int stages, int stage, int64_t micro_batches);

}  // namespace bitmill
