#pragma once
// Which actions of a plan are still to be carried out, after earlier starts have done some of them.
// Pure data in, pure data out.

#include <compare>
#include <cstdint>
#include <set>
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

// A stream between two blocks: what `block` reads of the student at `turn`, or of the teacher. The
// teacher's stream is the same at every turn. What it is after a block is the input of the next
// block, and the targets of that block: teacher_stream(l + 1) are the targets of block l.
struct StreamId {
  static constexpr int of_teacher = -1;

  int block = 0;
  int turn = 0;  // of_teacher: the teacher's stream

  auto operator<=>(const StreamId&) const = default;  // NOLINT: clang-tidy 14 asks for nullptr
};
inline StreamId student_stream(int block, int turn) { return {block, turn}; }
inline StreamId teacher_stream(int block) { return {block, StreamId::of_teacher}; }

// Streams that an earlier start has kept.
using KeptStreams = std::set<StreamId>;

// What a visit takes of the kept streams, and in whose place.
struct KeptUse {
  enum class Role { student, teacher, targets };

  StreamId stream;
  Role role = Role::student;

  bool operator==(const KeptUse&) const = default;
};

enum class Manner {
  skip,    // nobody needs its result
  replay,  // its result is packed: load it instead of training, and hand the streams on
  full,    // do everything
};

// What is left of the plan. Every stage gets the same answers.
class Remaining {
 public:
  // `done` has one entry per block, each of them checked by usable(). `kept`: any streams that are
  // there whole; the plan uses those that spare it a replay.
  Remaining(const Plan& plan, const std::vector<BlockDone>& done, const KeptStreams& kept = {});

  // The manner for a turn of a block. The last block that has not packed the turn decides. Blocks
  // before it must hand the turn's streams on; blocks behind it are skipped, because nobody reads
  // their streams. The first turn of a band carries the teacher's stream, which every turn of the
  // band needs: for it, a block counts that has not packed all turns of the band. Blocks before
  // start() are skipped, too.
  Manner visit(int block, int turn) const;
  // The block at which the turn begins: 0, or the one whose kept streams it takes. All blocks
  // before it have packed the turn. Where the turn begins a band, the targets of the blocks before
  // it that later turns of the band visit are kept, too. It is one behind the last visit where the
  // turn has nothing left to do.
  int start(int turn) const { return start_[static_cast<size_t>(turn)]; }
  // One manner for every action of the stage: that of the visit that it belongs to. A send has the
  // manner of the visit that receives. Embed, receive and send are full where a visit is replayed,
  // and skipped where it takes kept streams.
  std::vector<Manner> of_stage(int stage) const;
  // Whether a later turn of the band visits the block, so that its targets must stay in memory.
  bool comes_back(int block, int turn) const;
  // The blocks that no turn visits: what this start does not read.
  std::vector<int> unvisited() const;
  // How many visits are replayed, over all stages.
  int replays() const;

  // What the visit takes of the kept streams.
  std::vector<KeptUse> uses(int block, int turn) const;
  // All that the plan takes of the kept streams; no stream is taken twice in the same role.
  KeptStreams used() const;

 private:
  int last_unpacked(int turn) const;
  int first_unpacked(int turn) const;
  int student_start(int turn) const;
  int band_start(int turn) const;
  bool can_begin(int block, int turn) const;
  bool takes_targets(int block, int turn) const;
  Manner arrival(int block, int turn) const;

  const Plan& plan_;
  const std::vector<BlockDone> done_;
  const KeptStreams kept_;
  std::vector<int> last_;   // [turns] the last block that is not skipped; -1: none
  std::vector<int> start_;  // [turns]
};

}  // namespace bitmill
