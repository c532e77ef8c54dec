#include "pipeline/sums/sliced_sum.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

int64_t floats_per_slice(int64_t floats_per_exchange, int replicas) {
  return std::max<int64_t>(1, floats_per_exchange / replicas);
}

}  // namespace

SlicedSum::SlicedSum(int64_t size, Communicator& comm, const Device& device,
                     int64_t floats_per_exchange)
    : comm_(comm),
      device_(device),
      merge_([&device](const at::Tensor& into, const at::Tensor& from) {
        add_spread(into, from, device.host());
      }),
      bounds_(slice_bounds(size, comm.size())),
      floats_per_slice_(floats_per_slice(floats_per_exchange, comm.size())) {}

at::Tensor SlicedSum::reduce(int64_t batch_size, const SumUnit& unit,
                             const std::function<void()>& between) {
  return reduce(batch_size, sum_own_positions(batch_size, comm_.size(), comm_.rank(),
                                              {size(), at::kFloat, device_.torch()}, device_, unit,
                                              merge_, between, &memory_));
}

at::Tensor SlicedSum::reduce(int64_t batch_size, Partials own) {
  if (comm_.size() == 1) return std::move(own.at(0));

  const at::Tensor slice = at::empty({slice_size(comm_.rank())}, device_.torch());
  int64_t largest = 0;
  for (int rank = 0; rank < comm_.size(); ++rank) largest = std::max(largest, slice_size(rank));
  for (int64_t first = 0; first < largest; first += floats_per_slice_) {
    finish_piece(batch_size, own, first, slice);
  }
  return slice;
}

SlicedSum::Piece SlicedSum::piece(int rank, int64_t first) const {
  const int64_t begins = std::min(first, slice_size(rank));
  return {begins, std::min(slice_size(rank) - begins, floats_per_slice_)};
}

void SlicedSum::finish_piece(int64_t batch_size, const Partials& own, int64_t first,
                             const at::Tensor& slice) {
  const int replicas = comm_.size(), replica = comm_.rank();
  const Piece mine = piece(replica, first);
  std::vector<at::Tensor> outgoing, incoming;
  std::vector<std::span<const std::byte>> to;
  std::vector<std::span<std::byte>> from;
  for (int peer = 0; peer < replicas; ++peer) {
    const Piece theirs = piece(peer, first);
    outgoing.push_back(at::empty({std::ssize(own), theirs.count}));
    int64_t row = 0;
    for (const auto& [position, sum] : own) {
      outgoing[peer][row++].copy_(sum.narrow(0, begin(peer) + theirs.first, theirs.count));
    }
    incoming.push_back(
        at::empty({std::ssize(local_partials(batch_size, replicas, peer)), mine.count}));
    to.push_back(bytes_of(outgoing[peer]));
    from.push_back(bytes_of(incoming[peer]));
  }
  comm_.exchange(to, from);

  Partials partials;
  for (int peer = 0; peer < replicas; ++peer) {
    int64_t row = 0;
    for (const int64_t position : local_partials(batch_size, replicas, peer)) {
      partials[position] = device_.bring(incoming[peer][row++], at::kFloat);
    }
  }
  slice.narrow(0, mine.first, mine.count)
      .copy_(finish_tree(batch_size, replicas, partials, merge_));
}

void SlicedSum::gather(const at::Tensor& values) {
  if (comm_.size() == 1) return;
  std::vector<size_t> bounds;
  for (const int64_t bound : bounds_) bounds.push_back(static_cast<size_t>(bound) * sizeof(float));
  const at::Tensor host = device_.fetch(values);
  all_gather_slices(comm_, bytes_of(host), bounds);
  if (values.is_cuda()) values.copy_(host);
}

}  // namespace bitmill
