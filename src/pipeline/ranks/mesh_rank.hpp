#pragma once
// A rank in its mesh, with a communicator for each thing it says.

#include <memory>

#include "comm/communicator.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

class Channel;

class MeshRank {
 public:
  // Collective over `world`, which outlives it.
  MeshRank(const Mesh& mesh, Communicator& world);
  ~MeshRank();

  const Mesh& mesh() const { return mesh_; }
  // False beyond the mesh; nothing below is to be asked then.
  bool has_work() const { return has_work_; }
  int stage() const { return stage_; }
  int replica() const { return replica_; }
  // The first replica of a stage speaks for it: to the run folder, and to the other stages.
  bool leads() const { return replica_ == 0; }

  // The replicas of this stage, by replica.
  Communicator& replicas() { return *replicas_; }
  // Two worlds of all ranks with work: activations and gradients travel in one, and what must not
  // wait behind them in the other.
  Channel& streams() { return *streams_; }
  Communicator& control() { return *control_; }
  // The same replica of the stage after and the one before, in both.
  int next() const { return mesh_.rank_of(mesh_.next_stage(stage_), replica_); }
  int previous() const { return mesh_.rank_of(mesh_.previous_stage(stage_), replica_); }

 private:
  const Mesh mesh_;
  const bool has_work_;
  const int stage_;
  const int replica_;
  std::unique_ptr<Communicator> replicas_, control_, under_streams_;
  std::unique_ptr<Channel> streams_;
};

}  // namespace bitmill
