#include "comm/watch/listener.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/error.hpp"
#include "comm/watch/messages.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const std::string first_host = "n1";

TEST(WatchListener, StrangersAreSentAwayAndRanksLetIn) {
  WatchListener listener(2, first_host);
  const Invitation& invitation = listener.invitation();
  const auto connect = [&] {
    return WatchLink(connect_to("127.0.0.1", invitation.port, 5).socket);
  };
  std::vector<WatchLink> strangers(4);
  for (WatchLink& stranger : strangers) stranger = connect();
  strangers[0].send("GET / HTTP/1.1\r\n\r\n");
  strangers[1].send(std::string(100'000, 'x'));
  strangers[2].send(to_line(Hello{std::string(32, '0'), 1}));  // another job's token
  strangers[3].send(to_line(Hello{invitation.token, 2}));      // no rank of this job
  for (WatchLink& stranger : strangers) {
    while (stranger.open()) {
      EXPECT_THAT(listener.accept_ranks(0), IsEmpty());
      EXPECT_THAT(stranger.receive(1000), IsEmpty());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  EXPECT_FALSE(listener.closed());

  auto rank_1 =
      std::async(std::launch::async, [&] { return join_watch(invitation, 1, first_host, 20); });
  std::vector<std::pair<int, WatchLink>> joined;
  while (joined.empty()) joined = listener.accept_ranks(0);
  EXPECT_EQ(joined.front().first, 1);
  EXPECT_TRUE(rank_1.get().open());
  EXPECT_TRUE(listener.closed());
}

TEST(WatchListener, WhoSaysNothingIsSentAwayAfterAWhile) {
  WatchListener listener(2, first_host);
  WatchLink quiet(connect_to("127.0.0.1", listener.invitation().port, 5).socket);
  listener.accept_ranks(0);
  while (quiet.open()) {
    listener.accept_ranks(11);
    listener.accept_ranks(22);
    quiet.receive(1000);
  }
}

TEST(WatchListener, AWayThatIsClosedIsAnErrorWithAddressesAndAnAdvice) {
  Invitation invitation;
  {
    const WatchListener closed(2, first_host);
    invitation = closed.invitation();
  }
  try {
    join_watch(invitation, 1, first_host, 0.1);
    FAIL() << "there is nobody";
  } catch (const CommError& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 1 on n1 cannot reach the watchdog of rank 0 on n1"));
    EXPECT_THAT(error.what(), HasSubstr("port " + std::to_string(invitation.port)));
    EXPECT_THAT(error.what(), HasSubstr("127.0.0.1 (Connection refused)"));
    EXPECT_THAT(error.what(), HasSubstr("--timeout 0"));
  }
}

}  // namespace
}  // namespace bitmill
