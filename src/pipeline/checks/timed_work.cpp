#include "pipeline/checks/timed_work.hpp"

#include <vector>

#include "base/stopwatch.hpp"
#include "comm/gather.hpp"

namespace bitmill {

double seconds_of(const std::function<void()>& work) {
  const Stopwatch watch;
  work();
  return watch.seconds();
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double mean_of(double budget_s, const std::function<double()>& one) {
  constexpr size_t fewest = 3, most = 1000;
  one();
  std::vector<double> all;
  const Stopwatch watch;
  while (all.size() < fewest || (watch.seconds() < budget_s && all.size() < most)) {
    all.push_back(one());
  }
  return mean(all);
}

double mean_of_ranks(Communicator& comm, double mine) {
  double sum = 0;
  for (const double theirs : gather_value(comm, mine)) sum += theirs;
  return sum / comm.size();
}

}  // namespace bitmill
