#include "comm/watch/watchdog.hpp"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "comm/watch/listener.hpp"
#include "comm/watch/loop.hpp"

namespace bitmill {
namespace {

// Collective. Calls `step` on every rank. When it throws CommError on any rank, every rank throws
// the error of the lowest of them.
template <class Step>
void all_or_none(Communicator& comm, Step step) {
  std::string problem;
  try {
    step();
  } catch (const CommError& error) {
    problem = error.what();
  }
  for (const std::string& one : gather_texts(comm, problem)) {
    if (!one.empty()) throw CommError(one);
  }
}

}  // namespace

Watchdog::Watchdog(Communicator& comm, const WatchdogSettings& settings, const std::string& host,
                   WatchdogCalls calls) {
  const int self = comm.rank();
  const std::vector<std::string> hosts = gather_texts(comm, host);
  std::optional<WatchListener> listener;
  all_or_none(comm, [&] {
    if (self == 0) listener.emplace(comm.size(), host);
  });
  const std::string invitation =
      gather_texts(comm, listener ? listener->invitation().text() : "").front();
  const auto start = [&](std::map<int, WatchLink> links) {
    loop_ = std::make_unique<WatchLoop>(self, hosts, settings, std::move(calls),
                                        std::move(listener), std::move(links));
  };
  all_or_none(comm, [&] {
    std::map<int, WatchLink> links;
    if (self != 0) {
      links[0] = join_watch(Invitation::parse(invitation), self, host, settings.to_connect);
    }
    start(std::move(links));
  });
  loop_->arm();
}

Watchdog::~Watchdog() { loop_->say_goodbye(); }

void Watchdog::announce_failure(int exit_code) { loop_->announce_failure(exit_code); }

bool Watchdog::failed_first() const { return loop_->failed_first(); }

}  // namespace bitmill
