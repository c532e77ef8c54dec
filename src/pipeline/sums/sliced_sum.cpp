#include "pipeline/sums/sliced_sum.hpp"

#include <algorithm>
#include <utility>

namespace bitmill {
namespace {

// Elements per task of an addition.
constexpr int64_t elements_per_piece = 1 << 16;

int64_t floats_per_slice(int64_t floats_per_exchange, int replicas) {
  return std::max<int64_t>(1, floats_per_exchange / replicas);
}

}  // namespace

SlicedSum::SlicedSum(int64_t size, Communicator& comm, ThreadPool& pool,
                     int64_t floats_per_exchange)
    : comm_(comm),
      pool_(pool),
      bounds_(slice_bounds(size, comm.size())),
      floats_per_slice_(floats_per_slice(floats_per_exchange, comm.size())) {}

void SlicedSum::add(std::span<float> into, std::span<const float> from) {
  const auto count = std::ssize(into);
  pool_.parallel_for((count + elements_per_piece - 1) / elements_per_piece, [&](int64_t piece) {
    const int64_t last = std::min(count, (piece + 1) * elements_per_piece);
    for (int64_t i = piece * elements_per_piece; i < last; ++i) into[i] += from[i];
  });
}

AlignedVector<float> SlicedSum::reduce(int64_t batch_size, const Unit& unit,
                                       const std::function<void()>& between) {
  const auto merge = [&](std::span<float> into, std::span<const float> from) { add(into, from); };
  return reduce(batch_size, sum_own_positions<float>(batch_size, comm_.size(), comm_.rank(), size(),
                                                     pool_, unit, merge, between));
}

AlignedVector<float> SlicedSum::reduce(int64_t batch_size, Partials<float> own) {
  if (comm_.size() == 1) return std::move(own.at(0));

  AlignedVector<float> slice(static_cast<size_t>(slice_size(comm_.rank())));
  int64_t largest = 0;
  for (int rank = 0; rank < comm_.size(); ++rank) largest = std::max(largest, slice_size(rank));
  for (int64_t first = 0; first < largest; first += floats_per_slice_) {
    finish_piece(batch_size, own, first, slice);
  }
  return slice;
}

void SlicedSum::finish_piece(int64_t batch_size, const Partials<float>& own, int64_t first,
                             std::span<float> slice) {
  const int replicas = comm_.size(), replica = comm_.rank();
  const auto size_of = [&](int rank) {
    return static_cast<size_t>(std::clamp<int64_t>(slice_size(rank) - first, 0, floats_per_slice_));
  };
  std::vector<std::vector<float>> outgoing(replicas), incoming(replicas);
  std::vector<std::span<const std::byte>> to;
  std::vector<std::span<std::byte>> from;
  for (int peer = 0; peer < replicas; ++peer) {
    for (const auto& [position, sum] : own) {
      const auto start = sum.begin() + begin(peer) + std::min(first, slice_size(peer));
      outgoing[peer].insert(outgoing[peer].end(), start,
                            start + static_cast<int64_t>(size_of(peer)));
    }
    incoming[peer].resize(local_partials(batch_size, replicas, peer).size() * size_of(replica));
    to.push_back(std::as_bytes(std::span(outgoing[peer])));
    from.push_back(std::as_writable_bytes(std::span(incoming[peer])));
  }
  comm_.exchange(to, from);

  std::map<int64_t, std::span<float>> partials;
  for (int peer = 0; peer < replicas; ++peer) {
    std::span<float> rest = incoming[peer];
    for (const int64_t position : local_partials(batch_size, replicas, peer)) {
      partials[position] = rest.first(size_of(replica));
      rest = rest.subspan(size_of(replica));
    }
  }
  const std::span<float> sum = finish_tree<float>(
      batch_size, replicas, partials,
      [&](std::span<float> into, std::span<const float> added) { add(into, added); });
  std::copy(sum.begin(), sum.end(), slice.begin() + std::min(first, slice_size(replica)));
}

void SlicedSum::gather(std::span<float> values) {
  std::vector<size_t> bounds;
  for (const int64_t bound : bounds_) bounds.push_back(static_cast<size_t>(bound) * sizeof(float));
  all_gather_slices(comm_, std::as_writable_bytes(values), bounds);
}

}  // namespace bitmill
