#include "pipeline/sums/sample_share.hpp"

#include <algorithm>

#include "comm/gather.hpp"

namespace bitmill {

SampleShare::SampleShare(int64_t samples, int64_t batch, int replicas, int replica)
    : samples_(samples), batch_(batch), replicas_(replicas), replica_(replica), first_own_{0} {
  for (int64_t first = 0; first < samples; first += batch) {
    const PositionRange range =
        owned_positions(std::min(batch, samples - first), replicas, replica);
    for (int64_t position = range.begin; position < range.end; ++position) {
      own_.push_back(first + position);
    }
    first_own_.push_back(own_count());
  }
}

int64_t SampleShare::batch_size(int64_t step) const {
  return std::min(batch_, samples_ - step * batch_);
}

int64_t SampleShare::own_index(int64_t step, int64_t position) const {
  return first_own_[step] + position - owned_positions(batch_size(step), replicas_, replica_).begin;
}

std::vector<double> SampleShare::gather_in_order(Communicator& comm,
                                                 std::span<const double> own_values,
                                                 int64_t per_sample) const {
  const auto parts = gather_values<double>(comm, own_values);
  std::vector<double> all(static_cast<size_t>(samples_ * per_sample));
  for (int replica = 0; replica < replicas_; ++replica) {
    const SampleShare share(samples_, batch_, replicas_, replica);
    for (int64_t i = 0; i < share.own_count(); ++i) {
      std::copy_n(parts[replica].begin() + i * per_sample, per_sample,
                  all.begin() + share.own()[i] * per_sample);
    }
  }
  return all;
}

}  // namespace bitmill
