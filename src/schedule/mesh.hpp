#pragma once
// A rank's place: the stages divide the blocks, and the replicas of a stage divide its batches.

namespace bitmill {

// rank = stage * replicas + replica. Ranks beyond the mesh have no work.
struct Mesh {
  int stages = 1;
  int replicas = 1;

  int ranks() const { return stages * replicas; }
  bool contains(int rank) const { return rank < ranks(); }
  int stage_of_rank(int rank) const { return rank / replicas; }
  int replica_of_rank(int rank) const { return rank % replicas; }
  int rank_of(int stage, int replica) const { return stage * replicas + replica; }
  // Blocks go to the stages in turn, so that block l+1 is on the stage after that of block l.
  int stage_of_block(int block) const { return block % stages; }
  int next_stage(int stage) const { return (stage + 1) % stages; }
  int previous_stage(int stage) const { return (stage + stages - 1) % stages; }

  bool operator==(const Mesh&) const = default;
};

}  // namespace bitmill
