#include "channel/nccl_mover.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/host_name.hpp"
#include "channel/agreed_form.hpp"

namespace bitmill {
namespace {

size_t moved_bytes(const at::Tensor& tensor) { return tensor.defined() ? tensor.nbytes() : 0; }

NcclPiece piece(bool sends, int peer, const at::Tensor& tensor) {
  const size_t bytes = moved_bytes(tensor);
  return {sends, peer, bytes > 0 ? tensor.data_ptr() : nullptr, bytes};
}

}  // namespace

NcclMover::NcclMover(Communicator& comm, const Device& device, NcclPatience patience)
    : ids_(comm.split(0)),
      device_(device),
      patience_s_(patience.seconds),
      place_(fmt::format("rank {} on {}, {}", comm.job_rank(comm.rank()), host_name(),
                         device.description())) {}

NcclMover::~NcclMover() = default;

at::Device NcclMover::place() const { return device_.torch(); }

std::unique_ptr<Transfer> NcclMover::send(const at::Tensor& value, int to) {
  return lane_to(to).add({piece(true, 1, value)}, fmt::format("sending {} bytes to rank {}",
                                                              value.nbytes(), ids_->job_rank(to)));
}

std::unique_ptr<Transfer> NcclMover::receive(const at::Tensor& room, int from) {
  return lane_from(from).add(
      {piece(false, 0, room)},
      fmt::format("receiving {} bytes from rank {}", room.nbytes(), ids_->job_rank(from)));
}

std::unique_ptr<Transfer> NcclMover::exchange(std::span<const at::Tensor> to,
                                              std::span<const at::Tensor> from) {
  std::vector<NcclPiece> pieces;
  size_t bytes = 0;
  for (int p = 0; p < ids_->size(); ++p) {
    if (p == ids_->rank()) continue;
    const auto i = static_cast<size_t>(p);
    pieces.push_back(piece(true, p, to[i]));
    pieces.push_back(piece(false, p, from[i]));
    bytes += moved_bytes(to[i]) + moved_bytes(from[i]);
  }
  return lane_of_all().add(
      std::move(pieces), fmt::format("exchanging {} bytes with {} ranks", bytes, ids_->size() - 1));
}

NcclLane::Setting NcclMover::setting(std::string doing, NcclLane::Limit limit) const {
  return {place_, std::move(doing), device_.torch(), patience_s_, limit};
}

NcclLane& NcclMover::lane_to(int rank) {
  std::unique_ptr<NcclLane>& lane = to_[rank];
  if (!lane) {
    lane = std::make_unique<NcclLane>(
        setting(fmt::format("connecting to rank {}", ids_->job_rank(rank)),
                NcclLane::Limit::everything),
        *ids_, rank);
  }
  return *lane;
}

NcclLane& NcclMover::lane_from(int rank) {
  std::unique_ptr<NcclLane>& lane = from_[rank];
  if (!lane) {
    auto id = std::make_shared<const ncclUniqueId>(new_nccl_id(place_));
    auto telling = ids_->start_send(std::as_bytes(std::span(id.get(), 1)), rank);
    lane = std::make_unique<NcclLane>(
        setting(fmt::format("connecting to rank {}", ids_->job_rank(rank)),
                NcclLane::Limit::nothing),
        NcclMembers{*id, 2, 1}, std::move(telling), id);
  }
  return *lane;
}

NcclLane& NcclMover::lane_of_all() {
  if (!all_) {
    ncclUniqueId id;
    if (ids_->rank() == 0) id = new_nccl_id(place_);
    ids_->broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    all_ = std::make_unique<NcclLane>(
        setting(fmt::format("connecting {} ranks", ids_->size()), NcclLane::Limit::everything),
        NcclMembers{id, ids_->size(), ids_->rank()}, nullptr, nullptr);
  }
  return *all_;
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::unique_ptr<Form> nccl_form(Communicator& comm, const Device& device, NcclPatience patience) {
  return std::make_unique<AgreedForm>(comm, std::make_unique<NcclMover>(comm, device, patience));
}

}  // namespace bitmill
