#include "serve/http_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "base/error.hpp"
#include "serve/served_house.hpp"

namespace bitmill {
namespace {

using test::ask;
using test::get;
using test::post;
using testing::HasSubstr;

// Answers every request with its path and the length of its body.
class HttpServerTest : public testing::Test {
 protected:
  void open(HttpSettings settings) {
    server_ = std::make_unique<HttpServer>(settings, [this](const HttpRequest& request) {
      ++answered_;
      return HttpReply{.body = request.path + " " + std::to_string(request.body.size())};
    });
    door_ = std::thread([this] { server_->run(); });
    port_ = test::port_of(server_->address());
  }
  ~HttpServerTest() override {
    if (!server_) return;
    server_->stop(1);
    door_.join();
  }

  std::unique_ptr<HttpServer> server_;
  std::thread door_;
  std::atomic<int> answered_ = 0;
  int port_ = 0;
};

TEST_F(HttpServerTest, SeveralRequestsGoOverOneConnection) {
  open({});
  test::RawClient client(port_);
  for (int i = 0; i < 3; ++i) {
    client.send(
        "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 3\r\n\r\n{ }");
    EXPECT_THAT(client.receive("/tokenize 3"), HasSubstr("HTTP/1.1 200 OK"));
  }
  client.send(
      "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_THAT(client.receive(), HasSubstr("/tokenize 5"));
}

TEST_F(HttpServerTest, AKeyIsAskedForButByHealth) {
  open({.key = "secret"});
  EXPECT_EQ(get(port_, "/health").status, 200);
  EXPECT_EQ(get(port_, "/v1/models").status, 401);
  for (const char* wrong :
       {"secret", "Bearer secre", "Bearer secretsecret", "Bearer ", "Basic x"}) {
    EXPECT_EQ(get(port_, "/v1/models", std::string("Authorization: ") + wrong + "\r\n").status, 401)
        << wrong;
  }
  EXPECT_EQ(get(port_, "/v1/models", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(post(port_, "/v1/completions", "{}").status, 401);
  EXPECT_EQ(answered_, 2);
}

TEST_F(HttpServerTest, WhatIsNoRequestForItIsRefusedBeforeItsBodyIsRead) {
  open({.body_bytes = 2000});
  EXPECT_EQ(get(port_, "/").status, 404);
  EXPECT_EQ(get(port_, "/../../etc/passwd").status, 404);
  EXPECT_EQ(get(port_, "/v1/completions").status, 405);
  EXPECT_EQ(post(port_, "/health", "{}").status, 405);
  EXPECT_EQ(post(port_, "/nothing", "{}").status, 404);
  const auto body = [](const std::string& headers) {
    return "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n{}";
  };
  EXPECT_EQ(ask(port_, body("Content-Type: text/plain\r\nContent-Length: 2\r\n")).status, 415);
  EXPECT_EQ(ask(port_, body("Content-Type: multipart/form-data; boundary=x\r\n"
                            "Content-Length: 2\r\n"))
                .status,
            415);
  const std::string json = "Content-Type: application/json\r\n";
  EXPECT_EQ(ask(port_, body(json + "Content-Encoding: gzip\r\nContent-Length: 2\r\n")).status, 415);
  EXPECT_EQ(ask(port_, body(json)).status, 411);
  EXPECT_EQ(ask(port_, body(json + "Content-Length: 2\r\nContent-Length: 3\r\n")).status, 411);
  EXPECT_EQ(ask(port_, body(json + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n")).status,
            411);
  EXPECT_EQ(ask(port_, body(json + "Content-Length: 99999999999\r\n")).status, 413);
  EXPECT_EQ(answered_, 0);
}

TEST_F(HttpServerTest, ABodyMayHaveTheLimitAndNoByteMore) {
  open({.body_bytes = 2000});
  EXPECT_EQ(post(port_, "/tokenize", std::string(2000, 'x')).body, "/tokenize 2000");
  EXPECT_EQ(post(port_, "/tokenize", std::string(2001, 'x')).status, 413);
  // In chunks, whose sum nobody announces.
  std::string chunked =
      "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 100; ++i) chunked += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_EQ(ask(port_, chunked + "0\r\n\r\n").status, 413);
  EXPECT_EQ(answered_, 1);
}

TEST_F(HttpServerTest, AHeadWithoutEndIsCutOff) {
  open({});
  EXPECT_EQ(ask(port_, std::string(100000, 'x')).status, 0);
  std::string headers;
  for (int i = 0; i < 2000; ++i) headers += "X-" + std::to_string(i) + ": aaaaaaaaaaaaaaaa\r\n";
  EXPECT_EQ(get(port_, "/health", headers).status, 400);
  EXPECT_EQ(ask(port_, "no request\r\n\r\n").status, 400);
  EXPECT_EQ(get(port_, "/health", "Range: bytes=" + std::string(7000, '1') + "-\r\n").status, 416);
  std::string ranges = "Range: bytes=0-1";
  while (ranges.size() < 8000) ranges += ",0-1";
  EXPECT_EQ(get(port_, "/health", ranges + "\r\n").status, 200);
}

TEST_F(HttpServerTest, APageOfTheWebDoesNotReachAServerWithoutKey) {
  open({});
  const auto with_host = [&](const std::string& host) {
    return ask(port_, "GET /health HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
        .status;
  };
  EXPECT_EQ(with_host("evil.example"), 403);
  EXPECT_EQ(with_host("localhost.evil.example:80"), 403);
  EXPECT_EQ(with_host("127.evil.example"), 403);
  EXPECT_EQ(with_host("127.0.0.1.evil.example:80"), 403);
  EXPECT_EQ(with_host("localhost:" + std::to_string(port_)), 200);
  EXPECT_EQ(with_host("127.0.0.1:8080"), 200);
  EXPECT_EQ(with_host("[::1]:8080"), 200);
}

TEST_F(HttpServerTest, AStreamThatFailsIsCutOffAndOthersAreServed) {
  HttpServer server({}, [](const HttpRequest&) {
    HttpReply reply;
    reply.stream = [](const HttpWrite& write) -> bool {
      write("begun");
      throw std::runtime_error("no memory");
    };
    return reply;
  });
  std::thread door([&] { server.run(); });
  for (int i = 0; i < 2; ++i) {
    const auto reply = post(test::port_of(server.address()), "/tokenize", "{}");
    EXPECT_EQ(reply.status, 200);
    EXPECT_THAT(reply.body, HasSubstr("begun"));
    EXPECT_THAT(reply.body, testing::Not(HasSubstr("0\r\n\r\n")));  // no end of the chunks
  }
  server.stop(1);
  door.join();
}

TEST_F(HttpServerTest, APortThatIsTakenIsRefusedWithTheSystemsWords) {
  open({});
  try {
    HttpServer second({.port = port_}, nullptr);
    FAIL() << "two servers listen on one port";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("127.0.0.1 port " + std::to_string(port_)));
    EXPECT_THAT(error.what(), HasSubstr("in use"));
  }
}

TEST_F(HttpServerTest, MoreClientsThanConnectionsAreServedOneAfterTheOther) {
  open({.connections = 4});
  std::vector<std::unique_ptr<test::RawClient>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<test::RawClient>(port_));
    ASSERT_TRUE(clients.back()->connected());
    clients.back()->send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  // They would keep their connections, but for others that wait.
  for (auto& client : clients) EXPECT_THAT(client->receive("/health 0"), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace bitmill
