#pragma once
// The sockets: listens, reads requests within limits, checks who asks, and hands each to a
// function. A thread per connection, and no more connections than a limit: others wait in the
// system's queue.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/http_exchange.hpp"

namespace bitmill {

struct HttpSettings {
  std::string host = "127.0.0.1";
  int port = 0;          // 0: any that is free
  std::string key = {};  // that clients must send as "Authorization: Bearer KEY"; empty: none
  int64_t body_bytes = 1 << 21;
  int64_t connections = 128;  // at once
};

class HttpServer {
 public:
  // `answer` is called from any thread, for paths of service.hpp only. Error when the address
  // cannot be listened on, with the system's words. Clients are let in from here on; they are
  // served once run() is called.
  HttpServer(HttpSettings settings, std::function<HttpReply(const HttpRequest&)> answer);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string address() const;  // "http://127.0.0.1:8080"
  // Serves until stop(). Error when the system lets no more clients in.
  void run();
  // Replies that are being made have `seconds` to come to their end; then run() closes all
  // connections and returns. Any other thread, once, after run() was called.
  void stop(double seconds);

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace bitmill
