#include "comm/communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/error.hpp"
#include "comm/call_check.hpp"

namespace bitmill {
namespace {

// exchange() that sends the same bytes to every rank.
void exchange_same(Communicator& comm, std::span<const std::byte> mine,
                   std::span<const std::span<std::byte>> from) {
  const std::vector<std::span<const std::byte>> to(static_cast<size_t>(comm.size()), mine);
  comm.exchange(to, from);
}

}  // namespace

std::vector<std::vector<std::byte>> gather_everywhere(Communicator& comm,
                                                      std::span<const std::byte> mine) {
  const auto ranks = static_cast<size_t>(comm.size());
  const uint64_t my_bytes = mine.size();
  std::vector<uint64_t> bytes(ranks);
  std::vector<std::span<std::byte>> places(ranks);
  for (size_t p = 0; p < ranks; ++p) places[p] = std::as_writable_bytes(std::span(&bytes[p], 1));
  exchange_same(comm, std::as_bytes(std::span(&my_bytes, 1)), places);

  std::vector<std::vector<std::byte>> everything(ranks);
  for (size_t p = 0; p < ranks; ++p) {
    everything[p].resize(bytes[p]);
    places[p] = everything[p];
  }
  exchange_same(comm, mine, places);
  return everything;
}

void all_gather_slices(Communicator& comm, std::span<std::byte> data,
                       std::span<const size_t> bounds) {
  const auto ranks = static_cast<size_t>(comm.size());
  const auto own = static_cast<size_t>(comm.rank());
  BITMILL_CHECK(bounds.size() == ranks + 1 && std::is_sorted(bounds.begin(), bounds.end()) &&
                    bounds.back() <= data.size(),
                CommError,
                fmt::format("{}: {} bounds, the last {}, do not cut {} bytes into one ascending "
                            "slice per rank",
                            describe_call(comm, "all_gather_slices"), bounds.size(),
                            bounds.empty() ? 0 : bounds.back(), data.size()));
  const auto slice = [&](size_t p) { return data.subspan(bounds[p], bounds[p + 1] - bounds[p]); };

  std::vector<std::span<const std::byte>> to(ranks, slice(own));
  std::vector<std::span<std::byte>> from(ranks);
  for (size_t p = 0; p < ranks; ++p) from[p] = slice(p);
  to[own] = {};  // the own slice is in its place already
  from[own] = {};
  comm.exchange(to, from);
}

}  // namespace bitmill
