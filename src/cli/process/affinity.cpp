#include "cli/process/affinity.hpp"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>

#include "base/error.hpp"
#include "comm/gather.hpp"

namespace bitmill {
namespace {

bool overlap(const CpuMask& a, const CpuMask& b) {
  for (size_t word = 0; word < std::min(a.size(), b.size()); ++word) {
    if ((a[word] & b[word]) != 0) return true;
  }
  return false;
}

int count_cpus(const CpuMask& mask) {
  int count = 0;
  for (const uint64_t word : mask) count += std::popcount(word);
  return count;
}

}  // namespace

CpuMask read_affinity() {
  // The kernel refuses (EINVAL) a mask smaller than its own and does not tell the size of its own:
  // try larger ones. 2^16 words are four million processors.
  for (size_t words = 16; words <= size_t{1} << 16; words *= 2) {
    CpuMask mask(words, 0);
    auto* const raw = reinterpret_cast<cpu_set_t*>(mask.data());
    if (::sched_getaffinity(0, words * sizeof(uint64_t), raw) == 0) {
      while (!mask.empty() && mask.back() == 0) mask.pop_back();
      return mask;
    }
    if (errno != EINVAL) break;
  }
  throw Error(
      fmt::format("sched_getaffinity: {}; say --threads", std::generic_category().message(errno)));
}

int default_threads(const std::vector<RankPlace>& places, int rank) {
  const RankPlace& mine = places[static_cast<size_t>(rank)];
  const auto sharing = std::ranges::count_if(places, [&](const RankPlace& other) {
    return other.host == mine.host && overlap(other.cpus, mine.cpus);
  });
  return std::max(1, count_cpus(mine.cpus) / std::max(1, static_cast<int>(sharing)));
}

std::vector<RankPlace> gather_places(Communicator& comm, const RankPlace& mine) {
  const std::vector<std::string> hosts = gather_texts(comm, mine.host);
  const std::vector<CpuMask> masks = gather_values<uint64_t>(comm, mine.cpus);
  std::vector<RankPlace> places;
  for (size_t rank = 0; rank < hosts.size(); ++rank) places.push_back({hosts[rank], masks[rank]});
  return places;
}

}  // namespace bitmill
