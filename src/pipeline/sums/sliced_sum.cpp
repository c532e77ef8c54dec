#include "pipeline/sums/sliced_sum.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "channel/host_form.hpp"
#include "comm/communicator.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

int64_t floats_per_slice(int64_t floats_per_exchange, int replicas) {
  return std::max<int64_t>(1, floats_per_exchange / replicas);
}

}  // namespace

SlicedSum::SlicedSum(int64_t size, const Replicas& replicas, const Device& device,
                     int64_t floats_per_exchange)
    : comm_(replicas.words),
      by_host_(replicas.tensors != nullptr
                   ? nullptr
                   : std::make_unique<Channel>(std::make_unique<HostForm>(replicas.words))),
      channel_(by_host_ ? *by_host_ : *replicas.tensors),
      device_(device),
      merge_([&device](const at::Tensor& into, const at::Tensor& from) {
        add_spread(into, from, device.host());
      }),
      bounds_(slice_bounds(size, comm_.size())),
      floats_per_slice_(floats_per_slice(floats_per_exchange, comm_.size())) {}

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
  for (int peer = 0; peer < replicas; ++peer) {
    const Piece theirs = piece(peer, first);
    outgoing.push_back(room(std::ssize(own), theirs.count));
    int64_t row = 0;
    for (const auto& [position, sum] : own) {
      outgoing[peer][row++].copy_(sum.narrow(0, begin(peer) + theirs.first, theirs.count));
    }
    incoming.push_back(room(std::ssize(local_partials(batch_size, replicas, peer)), mine.count));
  }
  channel_.exchange(outgoing, incoming);

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

at::Tensor SlicedSum::room(int64_t rows, int64_t columns) const {
  return at::empty({rows, columns}, channel_.place());
}

void SlicedSum::gather(const at::Tensor& values) {
  if (comm_.size() == 1) return;
  if (values.device() == channel_.place()) {
    std::vector<at::Tensor> to, from;
    for (int rank = 0; rank < comm_.size(); ++rank) {
      const bool other = rank != comm_.rank();  // the own slice is in its place already
      to.push_back(other ? values.narrow(0, begin(), slice_size(comm_.rank())) : at::Tensor());
      from.push_back(other ? values.narrow(0, begin(rank), slice_size(rank)) : at::Tensor());
    }
    channel_.exchange(to, from);
    return;
  }
  std::vector<size_t> bounds;
  for (const int64_t bound : bounds_) bounds.push_back(static_cast<size_t>(bound) * sizeof(float));
  const at::Tensor host = device_.fetch(values);
  all_gather_slices(comm_, bytes_of(host), bounds);
  values.copy_(host);
}

}  // namespace bitmill
