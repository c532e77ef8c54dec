#include "serve/http_connection.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bitmill {
namespace {

// Both ends of a connection.
class HttpConnectionTest : public testing::Test {
 protected:
  HttpConnectionTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    client_ = ends[1];
    connection_ = std::make_unique<HttpConnection>(ends[0], limits_, closing_);
  }
  ~HttpConnectionTest() override { ::close(client_); }

  const ConnectionLimits limits_{.stalled = std::chrono::seconds(60)};
  std::atomic<bool> closing_ = false;
  int client_ = -1;
  std::unique_ptr<HttpConnection> connection_;
};

TEST_F(HttpConnectionTest, AClientHasGoneEvenIfBytesThatNobodyReadCameBefore) {
  ASSERT_EQ(::send(client_, "more", 4, 0), 4);
  EXPECT_TRUE(connection_->is_connected());
  ::shutdown(client_, SHUT_WR);
  EXPECT_FALSE(connection_->is_connected());
}

// Nobody reads: without a look at `closing` it would wait for a minute.
TEST_F(HttpConnectionTest, AWriteThatStallsEndsWhenTheServerCloses) {
  closing_ = true;
  EXPECT_EQ(connection_->write("short", 5), 5);  // the last words of a reply still go out
  const std::string large(std::size_t{1} << 24, 'x');
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(connection_->write(large.data(), large.size()), -1);
  EXPECT_LT(std::chrono::steady_clock::now() - began, limits_.stalled);
}

}  // namespace
}  // namespace bitmill
