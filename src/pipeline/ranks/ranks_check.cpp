#include "pipeline/ranks/ranks_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/hash.hpp"
#include "base/memory.hpp"
#include "base/pieces.hpp"
#include "base/version.hpp"
#include "comm/gather.hpp"
#include "pipeline/job/fingerprint.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Version and hash of the running binary. Its libraries are part of the numerics class.
std::string describe_program(Files& files) {
  const std::string path = files.resolve("/proc/self/exe");
  std::string hash = "unreadable";
  if (files.exists(path)) {
    const auto binary = files.open(path);
    Hasher hasher;
    std::vector<std::byte> piece(size_t{1} << 20);
    for_pieces(binary->size(), std::ssize(piece), [&](int64_t first, int64_t count) {
      const auto part = std::span(piece).first(static_cast<size_t>(count));
      binary->read(first, part);
      hasher.add(part);
    });
    hash = hasher.hex();
  }
  return fmt::format("bitmill {}, binary {}", version, hash);
}

std::string to_text(const RankFacts& facts) {
  return json{{"host", facts.host},
              {"program", facts.program},
              {"fingerprint", facts.fingerprint_json},
              {"numerics_class", facts.numerics_class},
              {"allow_mixed_hardware", facts.allow_mixed_hardware},
              {"memory_needed", facts.memory_needed},
              {"memory_available", facts.memory_available},
              {"mesh", facts.mesh},
              {"device",
               {facts.device.name, facts.device.usable_bytes, facts.device.needed_bytes,
                facts.device.attention_bytes, facts.device.is_float32}},
              {"memory_limit", facts.memory_limit}}
      .dump();
}

// Collective. Returns what every rank says, by rank.
std::vector<json> gather_json(Communicator& comm, const std::string& mine) {
  std::vector<json> all;
  for (const std::string& text : gather_texts(comm, mine)) all.push_back(json::parse(text));
  return all;
}

RankFacts facts_of(const json& facts) {
  return {facts.at("host"),
          facts.at("program"),
          facts.at("fingerprint"),
          facts.at("numerics_class"),
          facts.at("allow_mixed_hardware"),
          facts.at("memory_needed"),
          facts.at("memory_available"),
          facts.at("mesh"),
          {facts.at("device").at(0), facts.at("device").at(1), facts.at("device").at(2),
           facts.at("device").at(3), facts.at("device").at(4)},
          facts.at("memory_limit")};
}

RankResources resources_of(const json& one) {
  return {one.at("host"), one.at("threads"), one.at("memory_available")};
}

// "rank 2 on n1"
std::string name_of(const std::vector<RankFacts>& all, size_t rank) {
  return fmt::format("rank {} on {}", rank, all[rank].host);
}

std::vector<std::string> differences_of(const std::vector<RankFacts>& all, size_t rank,
                                        bool may_be_mixed) {
  const RankFacts &first = all[0], &other = all[rank];
  std::vector<std::string> problems;
  const std::string who = name_of(all, rank), leader = name_of(all, 0);
  if (other.program != first.program) {
    problems.push_back(fmt::format("{} runs {}, and {} runs {}; install one binary everywhere", who,
                                   other.program, leader, first.program));
  }
  const std::string field = fingerprint_difference(other.fingerprint_json, first.fingerprint_json);
  if (!field.empty()) {
    problems.push_back(
        fmt::format("{} would do other work than {}: {}; give all hosts the same model, "
                    "calibration and settings",
                    who, leader, field));
  }
  if (other.numerics_class != first.numerics_class && other.has_work() && !may_be_mixed) {
    problems.push_back(
        fmt::format("{} would not compute the same bits as {}: they are \"{}\" and \"{}\"; run on "
                    "machines of one kind, or give --allow-mixed-hardware",
                    who, leader, other.numerics_class, first.numerics_class));
  }
  if (other.mesh != first.mesh) {
    problems.push_back(
        fmt::format("{} would work in a mesh of {}, and {} in one of {}; give all ranks the same "
                    "--stages, --walk, --memory-limit and --hardware",
                    who, other.mesh, leader, first.mesh));
  }
  return problems;
}

}  // namespace

std::vector<std::string> differences(const std::vector<RankFacts>& all) {
  const bool may_be_mixed = std::ranges::all_of(all, &RankFacts::allow_mixed_hardware);
  std::vector<std::string> problems;
  for (size_t rank = 1; rank < all.size(); ++rank) {
    for (std::string& problem : differences_of(all, rank, may_be_mixed)) {
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

std::vector<std::string> memory_problems(const std::vector<RankFacts>& all) {
  struct Host {
    int ranks = 0;
    int64_t needed = 0;
    int64_t available = 0;
    std::string mesh = {};
  };
  std::map<std::string, Host> hosts;
  for (const RankFacts& facts : all) {
    Host& host = hosts[facts.host];
    ++host.ranks;
    host.needed += facts.memory_needed;
    host.available = facts.memory_available;
    host.mesh = facts.mesh;
  }
  std::vector<std::string> problems;
  for (const auto& [name, host] : hosts) {
    if (host.available == 0 || host.needed <= host.available) continue;
    problems.push_back(fmt::format(
        "{} has {} bytes of memory left, and its {} ranks need about {}{}; start fewer ranks "
        "there, {}or lower --stream-memory, --batch, --seq-len, --threads or the number of windows",
        name, host.available, host.ranks, host.needed,
        host.mesh.empty() ? "" : fmt::format(" in a mesh of {}", host.mesh),
        host.mesh.empty() ? "" : "try other --stages or another --walk, "));
  }
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const RankFacts& facts = all[rank];
    if (facts.memory_limit == 0 || facts.memory_needed <= facts.memory_limit) continue;
    problems.push_back(fmt::format(
        "{} may use {} bytes of its host (--memory-limit), and needs about {} there with the "
        "streams that its GPU has no room for; raise it, or set a lower --stream-memory: what is "
        "beyond that goes to the scratch folder",
        name_of(all, rank), facts.memory_limit, facts.memory_needed));
  }
  return problems;
}

std::vector<std::string> device_problems(const std::vector<RankFacts>& all) {
  std::vector<std::string> problems;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const DeviceNeed& device = all[rank].device;
    if (!all[rank].has_work() || device.needed_bytes <= device.usable_bytes) continue;
    problems.push_back(fmt::format(
        "{} may use {} bytes of {}, and a block and one of its samples need {} there ({} of it "
        "temporary memory of attention); a shorter --seq-len takes less{}; streams are not in it, "
        "they go to the host by themselves; look who else uses this GPU (nvidia-smi)",
        name_of(all, rank), device.usable_bytes, device.name, device.needed_bytes,
        device.attention_bytes,
        device.is_float32 ? ", and --dtype bfloat16 less than float32" : ""));
  }
  return problems;
}

DeviceShare device_share(const std::vector<RankDevice>& all, size_t rank) {
  std::map<std::pair<std::string, std::string>, std::vector<const RankDevice*>> gpus;
  for (const RankDevice& one : all) {
    if (!one.identity.empty()) gpus[{one.host, one.identity}].push_back(&one);
  }
  DeviceShare share;
  for (const auto& [key, users] : gpus) {
    const auto ranks = std::ssize(users);
    const RankDevice* const least = std::ranges::min(users, {}, &RankDevice::usable_bytes);
    const int64_t bytes = least->usable_bytes / ranks;
    if (std::ranges::find(users, &all[rank]) != users.end()) share.bytes = bytes;
    if (ranks == 1) continue;
    share.notes.push_back(fmt::format(
        "{} ranks of {} share GPU {} ({}), and may use {} of it each; where the host has more "
        "GPUs, let every rank see one of its own (CUDA_VISIBLE_DEVICES and the batch system "
        "decide which it sees)",
        ranks, key.first, users.front()->name, key.second, format_bytes(bytes)));
  }
  return share;
}

DeviceShare device_share(Communicator& comm, const Device& device, const std::string& host) {
  const std::string mine = json{{"host", host},
                                {"identity", device.identity()},
                                {"name", device.description()},
                                {"usable", device.memory().usable_bytes()}}
                               .dump();
  std::vector<RankDevice> all;
  for (const json& one : gather_json(comm, mine)) {
    all.push_back({one.at("host"), one.at("identity"), one.at("name"), one.at("usable")});
  }
  return device_share(all, static_cast<size_t>(comm.rank()));
}

std::vector<std::string> check_ranks(const RankWork& work, Files& files, Communicator& comm,
                                     const std::string& host) {
  const std::string mine =
      to_text({host, describe_program(files), work.fingerprint_json, work.numerics_class,
               work.allow_mixed_hardware, work.memory_needed, available_memory_bytes(), work.mesh,
               work.device, work.memory_limit});
  std::vector<RankFacts> all;
  for (const json& facts : gather_json(comm, mine)) all.push_back(facts_of(facts));
  std::vector<std::string> problems = differences(all);
  for (std::string& problem : memory_problems(all)) problems.push_back(std::move(problem));
  for (std::string& problem : device_problems(all)) problems.push_back(std::move(problem));
  BITMILL_CHECK(problems.empty(), UsageError, fmt::format("{}", fmt::join(problems, "\n")));
  std::vector<std::string> classes;
  for (const RankFacts& facts : all) {
    const bool known = std::ranges::find(classes, facts.numerics_class) != classes.end();
    if (facts.has_work() && !known) classes.push_back(facts.numerics_class);
  }
  return classes;
}

LeastResources least_resources(const std::vector<RankResources>& all) {
  std::map<std::string, int> ranks;  // by host
  for (const RankResources& one : all) ++ranks[one.host];
  LeastResources least{all.front().threads, 0};
  for (const RankResources& one : all) {
    least.threads = std::min(least.threads, one.threads);
    if (one.memory_available == 0) continue;
    const int64_t share = one.memory_available / ranks[one.host];
    least.memory = least.memory == 0 ? share : std::min(least.memory, share);
  }
  return least;
}

LeastResources gather_least_resources(Communicator& comm, const std::string& host, int threads) {
  const std::string mine =
      json{{"host", host}, {"threads", threads}, {"memory_available", available_memory_bytes()}}
          .dump();
  std::vector<RankResources> all;
  for (const json& one : gather_json(comm, mine)) all.push_back(resources_of(one));
  return least_resources(all);
}

}  // namespace bitmill
