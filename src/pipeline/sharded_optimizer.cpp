#include "pipeline/sharded_optimizer.hpp"

#include <algorithm>

#include "pipeline/tree_sum.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {
namespace {

void add(std::span<float> into, std::span<const float> from) {
  for (size_t i = 0; i < into.size(); ++i) into[i] += from[i];
}

}  // namespace

ShardedOptimizer::ShardedOptimizer(const LearnedLayout& layout, Communicator& comm,
                                   ThreadPool& pool)
    : comm_(comm),
      pool_(pool),
      size_(layout.size()),
      bounds_(slice_bounds(layout.size(), comm.size())),
      adamw_(layout, bounds_[comm.rank()], bounds_[comm.rank() + 1]) {}

void ShardedOptimizer::step(int64_t batch_size, const Unit& unit, std::span<float> values) {
  std::vector<float> gradient = reduce_own_slice(batch_size, unit);
  // The loss of a step is the mean over its own samples.
  const auto divisor = static_cast<float>(batch_size);
  for (float& element : gradient) element /= divisor;
  adamw_.step(++steps_, gradient,
              values.subspan(static_cast<size_t>(bounds_[comm_.rank()]), gradient.size()));
  gather_slices(values);
}

std::vector<float> ShardedOptimizer::reduce_own_slice(int64_t batch_size, const Unit& unit) {
  const int replicas = comm_.size(), replica = comm_.rank();
  const Partials<float> own =
      sum_own_positions<float>(batch_size, replicas, replica, size_, pool_, unit, add);

  // To each owner its slice of all my partial sums, one after the other.
  std::vector<std::vector<float>> outgoing(replicas), incoming(replicas);
  std::vector<std::span<const std::byte>> to;
  std::vector<std::span<std::byte>> from;
  for (int peer = 0; peer < replicas; ++peer) {
    for (const auto& [position, sum] : own) {
      outgoing[peer].insert(outgoing[peer].end(), sum.begin() + bounds_[peer],
                            sum.begin() + bounds_[peer + 1]);
    }
    const auto theirs = local_partials(batch_size, replicas, peer);
    incoming[peer].resize(theirs.size() * static_cast<size_t>(slice_size(replica)));
    to.push_back(std::as_bytes(std::span(outgoing[peer])));
    from.push_back(std::as_writable_bytes(std::span(incoming[peer])));
  }
  comm_.exchange(to, from);

  std::map<int64_t, std::span<float>> partials;
  for (int peer = 0; peer < replicas; ++peer) {
    std::span<float> rest = incoming[peer];
    for (const int64_t position : local_partials(batch_size, replicas, peer)) {
      partials[position] = rest.first(static_cast<size_t>(slice_size(replica)));
      rest = rest.subspan(static_cast<size_t>(slice_size(replica)));
    }
  }
  const std::span<float> sum = finish_tree<float>(batch_size, replicas, partials, add);
  return {sum.begin(), sum.end()};
}

void ShardedOptimizer::gather_slices(std::span<float> values) {
  std::vector<size_t> bounds;
  for (const int64_t bound : bounds_) bounds.push_back(static_cast<size_t>(bound) * sizeof(float));
  all_gather_slices(comm_, std::as_writable_bytes(values), bounds);
}

ShardedOptimizer::State ShardedOptimizer::gather_state() {
  const auto whole = [&](const std::vector<float>& slice) {
    std::vector<float> all(static_cast<size_t>(size_), 0.0F);
    std::copy(slice.begin(), slice.end(), all.begin() + bounds_[comm_.rank()]);
    gather_slices(all);
    return all;
  };
  return {whole(adamw_.first_moment()), whole(adamw_.second_moment())};
}

void ShardedOptimizer::restore(const State& state, int64_t steps) {
  const auto slice = [&](const std::vector<float>& all, std::vector<float>& into) {
    std::copy(all.begin() + bounds_[comm_.rank()], all.begin() + bounds_[comm_.rank() + 1],
              into.begin());
  };
  slice(state.first_moment, adamw_.first_moment());
  slice(state.second_moment, adamw_.second_moment());
  steps_ = steps;
}

}  // namespace bitmill
