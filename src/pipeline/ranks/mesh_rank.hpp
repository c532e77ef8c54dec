#pragma once
// A rank's place in its mesh, and its communicators, one for each purpose.

#include <functional>
#include <memory>

#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "pipeline/ranks/replicas.hpp"
#include "pipeline/ranks/tensor_way.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

class Channel;

class MeshRank {
 public:
  // Collective over `world`, which outlives it. So does the device of the way.
  MeshRank(const Mesh& mesh, Communicator& world, const TensorWay& way = {});
  ~MeshRank();
  // Collective over the ranks with work. Calls work(), after which nothing is under way any more.
  // Where it ends well, or by an agreed stop, the ranks then meet: where tensors go from GPU to
  // GPU, what left one rank may not yet have come to the other. After another error nobody waits.
  void carry_out(const std::function<void()>& work);

  const Mesh& mesh() const { return mesh_; }
  // False on an idle rank; then nothing below may be called.
  bool has_work() const { return has_work_; }
  int stage() const { return stage_; }
  int replica() const { return replica_; }
  // The leader of a stage speaks for it to the run folder and to the other stages.
  bool leads() const { return replica_ == 0; }

  // The replicas of this stage, by replica.
  Communicator& replicas() { return *replicas_; }
  // The same, with the way of their tensors.
  Replicas replica_links();
  // The GPU from which tensors travel; null: they travel through the host's memory.
  const Device* carrier() const { return way_.by_nccl ? way_.device : nullptr; }
  // Two worlds of all ranks with work. Activations and gradients travel in streams(); messages that
  // must not wait behind them travel in control().
  Channel& streams() { return *streams_; }
  Communicator& control() { return *control_; }
  // Rank numbers, in both worlds, of the same replica in the next and in the previous stage.
  int next() const { return mesh_.rank_of(mesh_.next_stage(stage_), replica_); }
  int previous() const { return mesh_.rank_of(mesh_.previous_stage(stage_), replica_); }

 private:
  void part();

  const Mesh mesh_;
  const bool has_work_;
  const int stage_;
  const int replica_;
  const TensorWay way_;
  std::unique_ptr<Communicator> replicas_, control_, under_streams_, under_slices_;
  std::unique_ptr<Channel> streams_, slices_;
};

}  // namespace bitmill
