#include "comm/watch/listener.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/random.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <variant>

#include "base/error.hpp"
#include "base/json.hpp"
#include "comm/watch/messages.hpp"

namespace bitmill {
namespace {

constexpr double seconds_to_speak = 10;    // for a new connection, to show the token
constexpr double seconds_per_address = 2;  // a filtered address never answers
constexpr size_t longest_hello = 256;      // bytes
constexpr size_t most_unknown = 64;        // connections at once, beyond one per rank
constexpr rlim_t other_descriptors = 256;  // files and sockets that are not watchdogs'
constexpr auto pause_between_rounds = std::chrono::milliseconds(200);

std::string random_token() {
  std::array<unsigned char, 16> bytes = {};
  BITMILL_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
                CommError, "getrandom gives no random bytes for the watchdogs' token");
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

// Raises the limit of open files: rank 0 needs one descriptor per rank. The usual soft limit of
// 1024 exists for programs that use select(), which this one does not.
void allow_descriptors(int ranks) {
  const rlim_t needed = static_cast<rlim_t>(ranks) + other_descriptors;
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  BITMILL_CHECK(limit.rlim_max >= needed, CommError,
                fmt::format("rank 0 needs {} open files for the watchdogs of {} ranks, and the "
                            "hard limit is {}; raise it (ulimit -Hn), or use --timeout 0",
                            needed, ranks, limit.rlim_max));
  limit.rlim_cur = needed;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string answer(WatchLink& link, const Invitation& invitation, int rank, double seconds) {
  link.send(to_line(Hello{invitation.token, rank}));
  const double deadline = steady_seconds() + seconds;
  while (wait_readable(link.descriptor(), deadline - steady_seconds())) {
    for (const std::string& line : link.receive(longest_hello)) {
      const WatchMessage message = parse_line(line);
      const auto* const welcome = std::get_if<Welcome>(&message);
      if (welcome != nullptr && welcome->token == invitation.token) return "";
      return "somebody else answers";
    }
    if (!link.open()) return "the connection was ended";
  }
  return "no answer";
}

// Returns the link; or, when the address does not work, a closed link and the problem.
std::pair<WatchLink, std::string> try_address(const Invitation& invitation,
                                              const std::string& address, int rank) {
  ConnectResult result = connect_to(address, invitation.port, seconds_per_address);
  if (result.socket.get() < 0) return {WatchLink(), result.problem};
  WatchLink link(std::move(result.socket));
  try {
    const std::string problem = answer(link, invitation, rank, seconds_per_address);
    return problem.empty() ? std::pair{std::move(link), problem} : std::pair{WatchLink(), problem};
  } catch (const FormatError&) {
    return {WatchLink(), "somebody else answers"};
  }
}

}  // namespace

std::string Invitation::text() const {
  return nlohmann::json{{"host", host}, {"addresses", addresses}, {"port", port}, {"token", token}}
      .dump();
}

Invitation Invitation::parse(const std::string& text) {
  const std::string where = "the invitation of rank 0's watchdog";
  const nlohmann::json json = parse_json(text, where);
  return {json_string(json, "host", where), json.value("addresses", std::vector<std::string>()),
          static_cast<uint16_t>(json_int(json, "port", where)), json_string(json, "token", where)};
}

WatchListener::WatchListener(int ranks, const std::string& host)
    : socket_(listen_anywhere()), joined_(static_cast<size_t>(ranks), false) {
  allow_descriptors(ranks);
  invitation_ = {host, addresses_of_this_host(), socket_.port, random_token()};
  joined_[0] = true;
}

void WatchListener::add_to(std::vector<pollfd>& waiting) const {
  if (closed()) return;
  waiting.push_back({socket_.socket.get(), POLLIN, 0});
  for (const Joining& one : joining_) {
    waiting.push_back({one.link.descriptor(), POLLIN, 0});
  }
}

int WatchListener::rank_of(const std::string& line) const {
  try {
    const WatchMessage message = parse_line(line);
    const auto* const hello = std::get_if<Hello>(&message);
    if (hello == nullptr || hello->token != invitation_.token) return -1;
    const bool expected = hello->rank > 0 && hello->rank < static_cast<int>(joined_.size()) &&
                          !joined_[static_cast<size_t>(hello->rank)];
    return expected ? hello->rank : -1;
  } catch (const FormatError&) {
    return -1;
  }
}

std::vector<std::pair<int, WatchLink>> WatchListener::accept_ranks(double now) {
  std::vector<std::pair<int, WatchLink>> joined;
  if (closed()) return joined;
  while (joining_.size() < joined_.size() + most_unknown) {
    Socket socket = accept_one(socket_);
    if (socket.get() < 0) break;
    joining_.push_back({WatchLink(std::move(socket)), now});
  }
  for (Joining& one : joining_) {
    const std::vector<std::string> lines = one.link.receive(longest_hello);
    const int rank = lines.size() == 1 ? rank_of(lines.front()) : -1;
    if (rank > 0 && one.link.open()) {
      joined_[static_cast<size_t>(rank)] = true;
      one.link.send(to_line(Welcome{invitation_.token}));
      joined.emplace_back(rank, std::move(one.link));
    } else if (!lines.empty()) {
      one.link = WatchLink();
    }
  }
  std::erase_if(joining_, [&](const Joining& one) {
    return !one.link.open() || now - one.since > seconds_to_speak;
  });
  if (std::ranges::find(joined_, false) == joined_.end()) {
    socket_.socket = Socket();
    joining_.clear();
  }
  return joined;
}

WatchLink join_watch(const Invitation& invitation, int rank, const std::string& host,
                     double seconds) {
  std::vector<std::string> addresses = invitation.addresses;
  if (host == invitation.host) {
    addresses.insert(addresses.begin(), loopback_addresses().begin(), loopback_addresses().end());
  }
  const double deadline = steady_seconds() + seconds;
  std::vector<std::string> problems;
  do {
    problems.clear();
    for (const std::string& address : addresses) {
      auto [link, problem] = try_address(invitation, address, rank);
      if (link.open()) return std::move(link);
      problems.push_back(fmt::format("{} ({})", address, problem));
    }
    std::this_thread::sleep_for(pause_between_rounds);
  } while (steady_seconds() < deadline);
  throw CommError(fmt::format(
      "the watchdog of rank {} on {} cannot reach the watchdog of rank 0 on {}, port {}; it tried "
      "for {:.0f} s: {}. A firewall between the hosts must allow connections between the ranks; "
      "--timeout 0 runs without watchdogs",
      rank, host, invitation.host, invitation.port, seconds, fmt::join(problems, ", ")));
}

}  // namespace bitmill
