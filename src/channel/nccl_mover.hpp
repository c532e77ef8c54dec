#pragma once
// Moves tensors by NCCL. Internal to channel.
//
// NCCL carries out the operations of a communicator in one order, and the transfers of a pair must
// not wait for those of another (mover.hpp). So every pair and direction that is used has a
// communicator of two ranks, made when its first transfer begins: the receiver makes the id, begins
// to connect, and tells the sender. A stage has two of them (one neighbour before it, one behind
// it), with `tune` four. All exchanges share one communicator of all ranks.

#include <map>
#include <memory>
#include <string>

#include "channel/mover.hpp"
#include "channel/nccl.hpp"
#include "channel/nccl_lane.hpp"

namespace bitmill {

class NcclMover final : public Mover {
 public:
  // Collective over `comm`, of which a part is made; `device` outlives it.
  NcclMover(Communicator& comm, const Device& device, NcclPatience patience);
  ~NcclMover() override;

  at::Device place() const override;
  std::unique_ptr<Transfer> send(const at::Tensor& value, int to) override;
  std::unique_ptr<Transfer> receive(const at::Tensor& room, int from) override;
  // The first one makes its communicator: it waits until rank 0 has told the id.
  std::unique_ptr<Transfer> exchange(std::span<const at::Tensor> to,
                                     std::span<const at::Tensor> from) override;

 private:
  NcclLane::Setting setting(std::string doing, NcclLane::Limit limit) const;
  NcclLane& lane_to(int rank);
  NcclLane& lane_from(int rank);
  NcclLane& lane_of_all();

  const std::unique_ptr<Communicator> ids_;  // carries ids alone
  const Device& device_;
  const double patience_s_;
  const std::string place_;
  std::map<int, std::unique_ptr<NcclLane>> to_, from_;
  std::unique_ptr<NcclLane> all_;
};

}  // namespace bitmill
