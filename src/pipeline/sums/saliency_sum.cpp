#include "pipeline/sums/saliency_sum.hpp"

#include <map>

#include "method/saliency.hpp"
#include "pipeline/sums/tree_sum.hpp"

namespace bitmill {
namespace {

using Merge = std::function<void(std::span<double>, std::span<const double>)>;

// Everybody's partial sums of a batch of n, joined into `total`.
void join_partials(const Partials<double>& own, int64_t n, const SampleShare& share,
                   Communicator& comm, const Merge& merge, std::span<double> total) {
  std::vector<double> flat;
  for (const auto& [position, sum] : own) flat.insert(flat.end(), sum.begin(), sum.end());
  auto parts = gather_everywhere(comm, std::as_bytes(std::span(flat)));
  std::map<int64_t, std::span<double>> partials;
  for (int replica = 0; replica < share.replicas(); ++replica) {
    auto* values = reinterpret_cast<double*>(parts[static_cast<size_t>(replica)].data());
    for (const int64_t position : local_partials(n, share.replicas(), replica)) {
      partials[position] = {values, total.size()};
      values += total.size();
    }
  }
  merge(total, finish_tree<double>(n, share.replicas(), partials, merge));
}

}  // namespace

std::vector<float> saliency_over_samples(
    Saliency kind, int64_t size, double tokens, const SampleShare& share,
    const std::function<void(int64_t i, std::span<double> statistics)>& unit, Communicator& comm,
    ThreadPool& pool, const std::function<void()>& between) {
  const Merge merge = [kind](std::span<double> into, std::span<const double> more) {
    merge_statistics(kind, into, more);
  };
  std::vector<double> total(static_cast<size_t>(size), 0.0);
  for (int64_t step = 0; step < share.steps(); ++step) {
    const int64_t n = share.batch_size(step);
    const auto probe = [&](int64_t position, std::span<double> statistics) {
      unit(share.own_index(step, position), statistics);
    };
    const Partials<double> own = sum_own_positions<double>(n, share.replicas(), share.replica(),
                                                           size, pool, probe, merge, between);
    join_partials(own, n, share, comm, merge, total);
  }
  if (kind == Saliency::mean) {
    for (double& value : total) value /= tokens;
  }
  return {total.begin(), total.end()};
}

}  // namespace bitmill
