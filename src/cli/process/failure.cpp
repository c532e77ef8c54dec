#include "cli/process/failure.hpp"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <new>
#include <vector>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "device/device.hpp"

namespace bitmill {
namespace {

// As sent between ranks: one byte of exit code, then the message. Empty: no failure.
std::string encode(const std::optional<Failure>& failure) {
  return failure ? static_cast<char>(failure->exit_code) + failure->message : "";
}

Failure decode(const std::string& bytes) {
  return {.exit_code = static_cast<unsigned char>(bytes.front()),
          .message = bytes.substr(1),
          .from_peer = false,
          .alone = false};
}

// Ranks that failed alike.
struct Group {
  size_t first_rank = 0;
  size_t ranks = 0;
};

// The groups in the order of their first ranks. Ranks without a failure are in no group.
std::vector<Group> group_failures(const std::vector<std::string>& outcomes) {
  std::map<std::string, Group> found;
  for (size_t rank = 0; rank < outcomes.size(); ++rank) {
    if (outcomes[rank].empty()) continue;
    Group& group = found.try_emplace(outcomes[rank], Group{rank, 0}).first->second;
    ++group.ranks;
  }
  std::vector<Group> groups;
  for (const auto& [outcome, group] : found) groups.push_back(group);
  std::ranges::sort(groups, {}, &Group::first_rank);
  return groups;
}

// With thousands of hosts, each may have a failure of its own.
constexpr size_t most_failures_told = 8;

}  // namespace

Failure describe_failure(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const UsageError& e) {
    return {exit_code::usage, e.what(), false};
  } catch (const StopError& e) {
    return {exit_code::stopped, e.what(), false};
  } catch (const DeviceLostError& e) {
    return {exit_code::stopped, e.what(), false, true};
  } catch (const PeerLostError& e) {
    return {exit_code::stopped, e.what(), true, true};
  } catch (const CommError& e) {
    return {exit_code::failed, e.what(), true};
  } catch (const Error& e) {
    return {exit_code::failed, e.what(), false};
  } catch (const c10::Error& e) {
    return {exit_code::failed, fmt::format("libtorch: {}", e.what_without_backtrace()), false};
  } catch (const std::bad_alloc&) {
    return {exit_code::failed,
            "out of memory; try --stream-memory, fewer --threads, or more ranks on other hosts",
            false};
  } catch (const std::exception& e) {
    return {exit_code::failed, fmt::format("unexpected: {}", e.what()), false};
  } catch (...) {
    return {exit_code::failed, "unexpected: an exception of an unknown type", false};
  }
}

std::optional<Failure> failure_of(const std::function<void()>& step) {
  try {
    with_device_errors(step);
    return std::nullopt;
  } catch (...) {
    return describe_failure(std::current_exception());
  }
}

std::string failure_text(const Failure& failure, const std::string& rank_and_host) {
  return rank_and_host.empty()
             ? fmt::format("bitmill: error: {}", failure.message)
             : fmt::format("bitmill: error: {}: {}", rank_and_host, failure.message);
}

std::optional<Failure> agree_on_failure(Communicator& comm, const std::optional<Failure>& mine,
                                        const std::string& host) {
  const std::vector<std::string> outcomes = gather_texts(comm, encode(mine));
  const std::vector<std::string> hosts = gather_texts(comm, host);
  const std::vector<Group> groups = group_failures(outcomes);
  if (groups.empty()) return std::nullopt;
  Failure failure = decode(outcomes[groups.front().first_rank]);
  if (groups.front().ranks == outcomes.size()) {
    failure.message = failure_text(failure, "");
    return failure;
  }
  std::vector<std::string> texts;
  for (const Group& group : groups) {
    if (texts.size() == most_failures_told) {
      texts.push_back(fmt::format("bitmill: error: {} more failures of other ranks",
                                  groups.size() - most_failures_told));
      break;
    }
    std::string who = fmt::format("rank {} on {}", group.first_rank, hosts[group.first_rank]);
    if (group.ranks > 1) who += fmt::format(" and {} more", group.ranks - 1);
    texts.push_back(failure_text(decode(outcomes[group.first_rank]), who));
  }
  failure.message = fmt::format("{}", fmt::join(texts, "\n"));
  return failure;
}

double seconds_before_report(const Failure& failure, int rank) {
  // Seconds. An abort reaches the ranks of a job within a fraction of a second. The wait has a
  // limit because the rank that failed first may have died without a report.
  constexpr double for_lower_ranks = 0.2, for_the_cause = 3.0;
  const double turn = for_lower_ranks * std::min(rank, 10);
  return failure.from_peer ? for_the_cause + turn : turn;
}

}  // namespace bitmill
