#pragma once
// Which actions of a plan are still to be carried out, after earlier starts have done some of them.
// Pure data in, pure data out.

#include <cstdint>
#include <vector>

#include "schedule/plan.hpp"

namespace bitmill {

// How far earlier starts brought a block. `epochs` and `steps` come from its saved live state, and
// count over all its turns; both are 0 without a live state.
struct BlockDone {
  int turns = 0;      // packed, from turn 0 on without a gap
  int epochs = 0;     // finished
  int64_t steps = 0;  // of the optimiser, also those of an unfinished epoch

  bool operator==(const BlockDone&) const = default;
};

// Returns `found`, or a BlockDone of zeros when the live state does not match the packed turns.
// With k packed turns it matches when it has finished at least k lag and at most (k + 1) lag
// epochs.
BlockDone usable(const BlockDone& found, const Plan& plan);

// The streams that an earlier start has kept: what `block` reads at `turn`. With `targets`, the
// teacher's stream is already what the block makes of it. None where block is 0.
struct KeptStreams {
  int block = 0;
  int turn = 0;
  bool targets = false;

  bool any() const { return block > 0; }
};
// Whether streams can be kept for a plan: one block reads its streams at a time.
bool keeps_streams(const Plan& plan);
// Whether a start can begin the turn at this block, and leave the blocks before it alone: somebody
// needs the streams, the blocks before are packed, and no other turn needs what they make of the
// teacher's stream (each turn is a band of its own, on one stage). `done` as for Remaining.
bool can_begin_at(const KeptStreams& kept, const Plan& plan, const std::vector<BlockDone>& done);

enum class Manner {
  skip,    // nobody needs its result
  replay,  // its result is packed: load it instead of training, and hand the streams on
  full,    // do everything
};

// What is left of the plan. Every stage gets the same answers.
class Remaining {
 public:
  // `done` has one entry per block, each of them checked by usable(). REQUIRES: `kept` is none, or
  // can_begin_at() it.
  Remaining(const Plan& plan, const std::vector<BlockDone>& done, const KeptStreams& kept = {});

  // The manner for a turn of a block. The last block that has not packed the turn decides. Blocks
  // before it must hand the turn's streams on; blocks behind it are skipped, because nobody reads
  // their streams. The first turn of a band carries the teacher's stream, which every turn of the
  // band needs: for it, a block counts that has not packed all turns of the band. Blocks before the
  // kept streams are skipped, too.
  Manner visit(int block, int turn) const;
  // One manner for every action of the stage: that of the visit that it belongs to. A send has the
  // manner of the visit that receives. Embed, receive and send are full where a visit is replayed.
  std::vector<Manner> of_stage(int stage) const;
  // Whether a later turn of the band visits the block, so that its targets must stay in memory.
  bool comes_back(int block, int turn) const;
  // How many visits are replayed, over all stages.
  int replays() const;

 private:
  int last_unpacked(int turn) const;

  const Plan& plan_;
  const std::vector<BlockDone> done_;
  const KeptStreams kept_;
  std::vector<int> last_;  // [turns] the last block that is not skipped; -1: none
};

}  // namespace bitmill
