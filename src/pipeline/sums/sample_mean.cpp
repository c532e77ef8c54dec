#include "pipeline/sums/sample_mean.hpp"

#include "pipeline/sums/sliced_sum.hpp"

namespace bitmill {

std::vector<float> mean_over_samples(
    int64_t size, double divisor, const SampleShare& share,
    const std::function<void(int64_t i, std::span<float> values)>& unit, Communicator& comm,
    ThreadPool& pool, const std::function<void()>& between) {
  SlicedSum sum(size, comm, pool);
  std::vector<float> mean(static_cast<size_t>(size), 0.0F);
  const std::span<float> own = std::span(mean).subspan(
      static_cast<size_t>(sum.begin()), static_cast<size_t>(sum.end() - sum.begin()));
  for (int64_t step = 0; step < share.steps(); ++step) {
    const auto unit_at = [&](int64_t position, std::span<float> values) {
      unit(share.own_index(step, position), values);
    };
    const AlignedVector<float> batch = sum.reduce(share.batch_size(step), unit_at, between);
    for (size_t i = 0; i < own.size(); ++i) own[i] += batch[i];
  }
  for (float& value : own) value = static_cast<float>(double{value} / divisor);
  sum.gather(mean);
  return mean;
}

}  // namespace bitmill
