#include "pipeline/timed_work.hpp"

#include <chrono>
#include <cstring>
#include <vector>

namespace bitmill {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_of(const std::function<void()>& work) {
  const double begin = now_s();
  work();
  return now_s() - begin;
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
  const double begin = now_s();
  while (all.size() < fewest || (now_s() - begin < budget_s && all.size() < most)) {
    all.push_back(one());
  }
  return mean(all);
}

double shared_mean(Communicator& comm, double mine) {
  double sum = 0;
  for (const auto& bytes : gather_everywhere(comm, std::as_bytes(std::span(&mine, 1)))) {
    double theirs = 0;
    std::memcpy(&theirs, bytes.data(), sizeof(theirs));
    sum += theirs;
  }
  return sum / comm.size();
}

}  // namespace bitmill
