#pragma once
// For tests: a whole server on a free port of the loopback, with books-2M behind it, and a client
// that sends bytes as they are.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "serve/http_server.hpp"
#include "serve/served_texts.hpp"
#include "serve/service.hpp"

namespace bitmill::test {

inline int port_of(const std::string& address) {
  return std::stoi(address.substr(address.rfind(':') + 1));
}

// A connection of a client.
class RawClient {
 public:
  explicit RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { hang_up(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  void hang_up() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void send(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const auto count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<size_t>(count);
    }
  }
  // All that comes until the other side closes, or `until` was in it.
  std::string receive(const std::string& until = "") {
    std::string all;
    char buffer[4096];
    while (until.empty() || all.find(until) == std::string::npos) {
      pollfd entry = {socket_, POLLIN, 0};
      if (::poll(&entry, 1, 20000) <= 0) return all + "(nothing more came)";
      const auto count = ::recv(socket_, buffer, sizeof buffer, 0);
      if (count <= 0) break;
      all.append(buffer, static_cast<size_t>(count));
    }
    return all;
  }

 private:
  int socket_;
  bool connected_ = false;
};

struct RawReply {
  int status = 0;
  std::string head;
  std::string body;

  nlohmann::json json() const { return nlohmann::json::parse(body); }
};

inline RawReply parsed_reply(const std::string& bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (!bytes.starts_with("HTTP/1.1 ") || end == std::string::npos) return {0, bytes, ""};
  return {std::stoi(bytes.substr(9)), bytes.substr(0, end), bytes.substr(end + 4)};
}

inline std::string post_text(const std::string& path, const std::string& body,
                             const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n" + headers +
         "\r\n" + body;
}

// One request on a connection of its own.
inline RawReply ask(int port, const std::string& bytes) {
  RawClient client(port);
  client.send(bytes);
  return parsed_reply(client.receive());
}
inline RawReply get(int port, const std::string& path, const std::string& headers = "") {
  return ask(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                       headers + "\r\n");
}
inline RawReply post(int port, const std::string& path, const std::string& body,
                     const std::string& headers = "") {
  return ask(port, post_text(path, body, headers));
}

// The events of a stream, without "data: ", after the chunks were put together.
inline std::vector<std::string> events_of(const RawReply& reply) {
  std::string text;
  size_t at = 0;
  while (at < reply.body.size()) {
    const size_t line = reply.body.find("\r\n", at);
    const size_t length = std::stoul(reply.body.substr(at, line - at), nullptr, 16);
    text += reply.body.substr(line + 2, length);
    at = line + 2 + length + 2;
  }
  std::vector<std::string> events;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find("\n\n", begin);
    events.push_back(text.substr(begin + 6, end - begin - 6));
    begin = end + 2;
  }
  return events;
}

class ServedHouse {
 public:
  // `folder`: of tokenizer and chat template; the weights are always those of books-2M.
  explicit ServedHouse(const std::string& folder = SmallModels::folder, int64_t places = 2,
                       int64_t queue = 4)
      : served_(*models_.files, folder, model_.config(), "books", 512),
        batch_(model_, *models_.tokenizer, places, 512),
        scheduler_(std::make_unique<Scheduler>(batch_, models_.pool, queue)),
        service_(served_, *scheduler_),
        server_({}, [this](const HttpRequest& request) { return service_.answer(request); }),
        door_([this] { server_.run(); }) {}
  ~ServedHouse() {
    scheduler_->cut();
    server_.stop(2);
    door_.join();
  }

  int port() const { return port_of(server_.address()); }
  Scheduler& scheduler() { return *scheduler_; }
  Service& service() { return service_; }
  const SmallModels& models() const { return models_; }
  const ResidentModel& model() const { return model_; }

 private:
  SmallModels models_;
  const ResidentModel model_{*models_.files, models_.source, fast_path(Activations::int8),
                             models_.pool};
  const ServedModel served_;
  TextBatch batch_;
  std::unique_ptr<Scheduler> scheduler_;
  Service service_;
  HttpServer server_;
  std::thread door_;
};

}  // namespace bitmill::test
