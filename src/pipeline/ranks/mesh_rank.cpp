#include "pipeline/ranks/mesh_rank.hpp"

#include <cassert>

#include "channel/channel.hpp"
#include "channel/host_form.hpp"
#include "channel/nccl.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {

MeshRank::MeshRank(const Mesh& mesh, Communicator& world, const TensorWay& way)
    : mesh_(mesh),
      has_work_(mesh.contains(world.rank())),
      stage_(mesh.stage_of_rank(world.rank())),
      replica_(mesh.replica_of_rank(world.rank())),
      way_(way),
      replicas_(world.split(has_work_ ? stage_ : mesh.stages)),
      control_(world.split(has_work_ ? 0 : 1)),
      under_streams_(world.split(has_work_ ? 0 : 1)) {
  assert(mesh.ranks() <= world.size());
  if (!way.by_nccl || !has_work_) {
    streams_ = std::make_unique<Channel>(std::make_unique<HostForm>(*under_streams_));
    return;
  }
  const NcclPatience patience{way.patience_s};
  streams_ = std::make_unique<Channel>(nccl_form(*under_streams_, *way.device, patience));
  under_slices_ = replicas_->split(0);
  slices_ = std::make_unique<Channel>(nccl_form(*under_slices_, *way.device, patience));
}

MeshRank::~MeshRank() = default;

void MeshRank::carry_out(const std::function<void()>& work) {
  try {
    work();
  } catch (const AgreedStop&) {
    part();
    throw;
  }
  part();
}

void MeshRank::part() {
  if (slices_) control_->barrier();
}

Replicas MeshRank::replica_links() {
  return slices_ ? Replicas(*replicas_, *slices_) : Replicas(*replicas_);
}

}  // namespace bitmill
