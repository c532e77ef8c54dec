#include "pipeline/ranks/mesh_rank.hpp"

#include <cassert>

namespace bitmill {

MeshRank::MeshRank(const Mesh& mesh, Communicator& world)
    : mesh_(mesh),
      has_work_(mesh.contains(world.rank())),
      stage_(mesh.stage_of_rank(world.rank())),
      replica_(mesh.replica_of_rank(world.rank())),
      replicas_(world.split(has_work_ ? stage_ : mesh.stages)),
      streams_(world.split(has_work_ ? 0 : 1)),
      control_(world.split(has_work_ ? 0 : 1)) {
  assert(mesh.ranks() <= world.size());
}

}  // namespace bitmill
