#include "pipeline/ranks/tensor_way.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "channel/channel.hpp"
#include "channel/nccl.hpp"
#include "comm/gather.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Of NCCL, for each connection to another rank: 4 MiB for each of the multiprocessors that it may
// occupy (NCCL_BUFFSIZE), and what it keeps beside them. An estimate: never tried on a GPU.
constexpr int64_t connection_bytes = int64_t{64} << 20;

std::string why_not_own_gpus(const std::vector<RankOnGpu>& all) {
  std::map<std::pair<std::string, std::string>, std::vector<size_t>> users;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    users[{all[rank].host, all[rank].identity}].push_back(rank);
  }
  for (const auto& [gpu, ranks] : users) {
    if (ranks.size() == 1) continue;
    return fmt::format("ranks {} share one GPU of {}, which NCCL refuses",
                       fmt::join(ranks, " and "), gpu.first);
  }
  return "";
}

// By version, one host of each.
std::map<std::string, std::string> versions_of(const std::vector<RankOnGpu>& all) {
  std::map<std::string, std::string> versions;
  for (const RankOnGpu& one : all) versions.emplace(one.nccl, one.host);
  return versions;
}

void refuse_versions(const std::map<std::string, std::string>& versions) {
  std::vector<std::string> words;
  for (const auto& [version, host] : versions) {
    words.push_back(fmt::format("{} on {}", version.empty() ? "none" : version, host));
  }
  throw UsageError(fmt::format(
      "the ranks have different versions of NCCL: {}; install one on all hosts (bitmill "
      "devices shows it), and look into LD_LIBRARY_PATH, which may put another first",
      fmt::join(words, ", ")));
}

}  // namespace

TensorWay choose_way(const std::vector<RankOnGpu>& all) {
  if (all.size() < 2) return {};
  for (const RankOnGpu& one : all) {
    if (one.identity.empty()) return {};
  }
  constexpr const char* by_host = "tensors travel between ranks through the host's memory: ";
  const std::string shared = why_not_own_gpus(all);
  if (!shared.empty()) return {false, by_host + shared};
  const auto versions = versions_of(all);
  if (versions.size() > 1) refuse_versions(versions);
  if (all.front().nccl.empty()) return {false, std::string(by_host) + "built without NCCL"};
  return {true, fmt::format("tensors travel from GPU to GPU by NCCL {}: each of {} ranks has a GPU "
                            "of its own",
                            all.front().nccl, all.size())};
}

TensorWay choose_way(Communicator& comm, const Mesh& mesh, const Device& device,
                     const std::string& host, double patience_s) {
  const std::string mine = json{host, device.identity(), nccl_version()}.dump();
  std::vector<RankOnGpu> all;
  for (const std::string& text : gather_texts(comm, mine)) {
    const json one = json::parse(text);
    if (std::ssize(all) < mesh.ranks()) all.push_back({one[0], one[1], one[2]});
  }
  TensorWay way = choose_way(all);
  way.device = &device;
  way.patience_s = patience_s;
  return way;
}

int64_t travelling_bytes(const TensorWay& way, const Mesh& mesh, int64_t sample_bytes) {
  if (!way.by_nccl) return 0;
  int64_t bytes = 0;
  if (mesh.stages > 1) {
    const int64_t samples = Channel::most_under_way(static_cast<size_t>(sample_bytes)) + 1;
    bytes += 2 * (samples * sample_bytes + connection_bytes);  // in and out
  }
  if (mesh.replicas > 1) {
    const auto exchanged = static_cast<int64_t>(sizeof(float)) * largest_exchange_floats;
    bytes += 2 * exchanged + (mesh.replicas - 1) * connection_bytes;
  }
  return bytes;
}

}  // namespace bitmill
