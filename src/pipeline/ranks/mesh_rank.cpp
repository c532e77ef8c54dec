#include "pipeline/ranks/mesh_rank.hpp"

#include <cassert>

#include "channel/channel.hpp"
#include "channel/host_form.hpp"

namespace bitmill {

MeshRank::MeshRank(const Mesh& mesh, Communicator& world)
    : mesh_(mesh),
      has_work_(mesh.contains(world.rank())),
      stage_(mesh.stage_of_rank(world.rank())),
      replica_(mesh.replica_of_rank(world.rank())),
      replicas_(world.split(has_work_ ? stage_ : mesh.stages)),
      control_(world.split(has_work_ ? 0 : 1)),
      under_streams_(world.split(has_work_ ? 0 : 1)),
      streams_(std::make_unique<Channel>(std::make_unique<HostForm>(*under_streams_))) {
  assert(mesh.ranks() <= world.size());
}

MeshRank::~MeshRank() = default;

}  // namespace bitmill
