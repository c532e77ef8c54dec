#include "serve/http_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "serve/connection_threads.hpp"
#include "serve/http_connection.hpp"
#include "serve/request_error.hpp"
#include "serve/service.hpp"

namespace bitmill {
namespace {

constexpr int waiting_clients = 1024;  // that the system keeps until they are let in
constexpr int64_t most_connections = 900;
constexpr size_t most_requests = 100000;  // of one connection

// The connection that this thread serves: httplib does not hand it to its handlers.
thread_local HttpConnection* this_connection = nullptr;

// Takes as long for any key, right or wrong.
bool is_equal_slowly(const std::string& given, const std::string& key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |=
        static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(key[i % key.size()]);
  }
  return difference == 0;
}

// "localhost" of "localhost:8080", "::1" of "[::1]:8080".
std::string host_of(const std::string& authority) {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_json(const std::string& content_type) {
  const std::string type = content_type.substr(0, content_type.find_first_of("; "));
  return type == "application/json";
}

// Says of a reply that nothing follows it.
void close_after(httplib::Response& response) {
  this_connection->give_up();
  response.set_header("Connection", "close");
}

void put(const HttpReply& reply, httplib::Response& response) {
  response.status = reply.status;
  if (reply.retry_after) response.set_header("Retry-After", std::to_string(*reply.retry_after));
  if (reply.stream == nullptr) return response.set_content(reply.body, reply.content_type);
  const auto provide = [stream = reply.stream](size_t, httplib::DataSink& sink) {
    try {
      const bool whole =
          stream([&](std::string_view piece) { return sink.write(piece.data(), piece.size()); });
      if (whole) sink.done();
      return whole;
    } catch (const std::exception&) {  // no memory: httplib would end the program
      return false;
    }
  };
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(reply.content_type, provide);
}

void refuse(const RequestError& error, httplib::Response& response) {
  put(error_reply(error), response);
  close_after(response);
}

}  // namespace

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  // Only an address: anybody can own the name 127.evil.example.
  in_addr address = {};
  if (::inet_pton(AF_INET, host.c_str(), &address) != 1) return false;
  return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

class HttpServer::Listener final : public httplib::Server {
 public:
  Listener(HttpSettings settings, std::function<HttpReply(const HttpRequest&)> answer);
  ~Listener() override;

  std::string address() const;
  bool serve();
  void end(double seconds);
  Figures figures() const;

 private:
  bool process_and_close_socket(socket_t socket) override;
  bool is_crowded() const;
  void listen_on_address();
  void set_handlers();
  void check_head(const httplib::Request& request) const;
  void check_body_head(const httplib::Request& request) const;
  void answer_get(const httplib::Request& request, httplib::Response& response);
  void answer_post(const httplib::Request& request, httplib::Response& response,
                   const httplib::ContentReader& reader);
  HttpReply reply_to(const httplib::Request& request, std::string body);

  const HttpSettings settings_;
  const std::function<HttpReply(const HttpRequest&)> answer_;
  ConnectionLimits limits_;
  int port_ = 0;
  std::atomic<ConnectionThreads*> threads_ = nullptr;  // httplib's, while it runs
  std::atomic<bool> closing_ = false;
  std::atomic<bool> served_ = false;  // it has ended
  std::atomic<uint64_t> requests_ = 0;
  std::atomic<int64_t> replies_ = 0;  // that are being made or sent
  std::atomic<int64_t> connections_ = 0;
};

HttpServer::Listener::Listener(HttpSettings settings,
                               std::function<HttpReply(const HttpRequest&)> answer)
    : settings_(std::move(settings)), answer_(std::move(answer)) {
  limits_.body_bytes = settings_.body_bytes;
  new_task_queue = [this] {
    auto* threads = new ConnectionThreads(
        static_cast<size_t>(std::min(settings_.connections, most_connections)));
    threads_ = threads;
    return threads;  // httplib deletes it when it has ended
  };
  set_handlers();
  listen_on_address();
}

HttpServer::Listener::~Listener() {
  if (svr_sock_ != INVALID_SOCKET) ::close(svr_sock_);  // httplib leaves open what it never served
}

void HttpServer::Listener::listen_on_address() {
  // httplib's own options would let a second server listen on the same port, and take half of the
  // clients.
  set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  errno = 0;
  const bool any = settings_.port == 0;
  port_ = any ? bind_to_any_port(settings_.host)
              : (bind_to_port(settings_.host, settings_.port) ? settings_.port : -1);
  const std::string words = errno == 0 ? "the name is not known, or is not of this machine"
                                       : std::generic_category().message(errno);
  BITMILL_CHECK(
      port_ > 0, Error,
      fmt::format("{} port {} cannot be listened on: {}; give another --port (0: any that "
                  "is free) or --host",
                  settings_.host, settings_.port, words));
  ::listen(svr_sock_, waiting_clients);  // again: httplib asks for 5
}

std::string HttpServer::Listener::address() const {
  const bool v6 = settings_.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + settings_.host + "]" : settings_.host;
  return fmt::format("http://{}:{}", host, port_);
}

void HttpServer::Listener::set_handlers() {
  // Keeps what httplib would do with ranges, files and unknown paths out of reach.
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    try {
      check_head(request);
      if (request.method == "POST") return HandlerResponse::Unhandled;
      answer_get(request, response);
    } catch (const RequestError& error) {
      refuse(error, response);
    }
    return HandlerResponse::Handled;
  });
  for (const std::string& path : post_paths()) {
    Post(path,
         [this](const httplib::Request& request, httplib::Response& response,
                const httplib::ContentReader& reader) { answer_post(request, response, reader); });
  }
  set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    refuse({response.status, "", "this is no request that the server can read"}, response);
  });
  set_exception_handler([](const httplib::Request&, httplib::Response& response,
                           const std::exception_ptr&) {
    refuse({http_status::failed, "", "the server has no memory left for this request"}, response);
  });
  set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
    if (this_connection->is_given_up()) response.headers.erase("Keep-Alive");
  });
  set_keep_alive_max_count(most_requests);
  set_keep_alive_timeout(limits_.idle.count());
}

bool HttpServer::Listener::is_crowded() const {
  const ConnectionThreads* threads = threads_;
  return threads != nullptr &&
         static_cast<int64_t>(threads->busy()) > settings_.connections * 3 / 4;
}

// In the place of httplib's own: its connections wait without end for the bytes of a head, and do
// not tell whether the client is still there.
bool HttpServer::Listener::process_and_close_socket(socket_t socket) {
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  HttpConnection connection(socket, limits_, closing_);
  this_connection = &connection;
  ++connections_;
  for (size_t count = 0; count < most_requests; ++count) {
    // The first request has the right to wait, those behind it only while there is place.
    const bool first = count == 0;
    if (!connection.wait_for_request(first ? limits_.head : limits_.idle,
                                     [&] { return !first && is_crowded(); })) {
      break;
    }
    ++replies_;
    bool closed = false;
    const bool last = is_crowded() || closing_;
    const bool sent = process_request(connection, last, closed, [&](httplib::Request& request) {
      connection.begin_body();
      ++requests_;
      request.headers.erase("Accept-Encoding");  // an answer is not worth compressing
      request.ranges.clear();
    });
    --replies_;
    if (!sent || closed || last || connection.is_given_up() || !connection.has_body_begun()) break;
  }
  --connections_;
  this_connection = nullptr;
  return true;
}

void HttpServer::Listener::check_head(const httplib::Request& request) const {
  const bool is_get = request.method == "GET" || request.method == "HEAD";
  // A page of the web that was told that its name is 127.0.0.1 must not reach a server without key.
  const std::string host = host_of(request.get_header_value("Host"));
  if (settings_.key.empty() && is_loopback(settings_.host) && !host.empty() && !is_loopback(host)) {
    throw RequestError(http_status::forbidden, "",
                       "the server answers on its own machine only, by the name of localhost");
  }
  const std::string given = request.get_header_value("Authorization");
  const bool open = settings_.key.empty() || (is_get && request.path == "/health");
  if (!open && !is_equal_slowly(given, "Bearer " + settings_.key)) {
    throw RequestError(http_status::unauthorized, "",
                       "the key is missing or wrong: send \"Authorization: Bearer KEY\"");
  }
  const bool get_path = contains(get_paths(), request.path);
  const bool post_path = contains(post_paths(), request.path);
  if (!get_path && !post_path) {
    throw RequestError(http_status::not_found, "",
                       fmt::format("there is nothing here of that name; there are {} and {}",
                                   fmt::join(get_paths(), ", "), fmt::join(post_paths(), ", ")));
  }
  if (get_path ? !is_get : request.method != "POST") {
    throw RequestError(http_status::wrong_method, "",
                       fmt::format("this path takes {}", get_path ? "GET" : "POST"));
  }
  if (request.method == "POST") check_body_head(request);
}

void HttpServer::Listener::check_body_head(const httplib::Request& request) const {
  if (!is_json(request.get_header_value("Content-Type"))) {
    throw RequestError(http_status::wrong_media_type, "",
                       "the body must be JSON: send \"Content-Type: application/json\"");
  }
  if (request.has_header("Content-Encoding")) {
    throw RequestError(http_status::wrong_media_type, "",
                       "the body must come as it is: leave out \"Content-Encoding\"");
  }
  const bool chunked = request.has_header("Transfer-Encoding");
  const size_t lengths = request.get_header_value_count("Content-Length");
  if (chunked ? lengths != 0 || request.get_header_value("Transfer-Encoding") != "chunked"
              : lengths != 1) {
    throw RequestError(http_status::length_required, "",
                       "the length of the body is not clear: send one \"Content-Length\"");
  }
  if (!chunked && request.get_header_value<uint64_t>("Content-Length") >
                      static_cast<uint64_t>(settings_.body_bytes)) {
    throw RequestError(
        http_status::too_large, "",
        fmt::format("the body may have {} bytes: send less at once", settings_.body_bytes));
  }
}

void HttpServer::Listener::answer_get(const httplib::Request& request,
                                      httplib::Response& response) {
  put(reply_to(request, ""), response);
  // Its body, which has no meaning, was not read.
  if (request.has_header("Content-Length") || request.has_header("Transfer-Encoding")) {
    close_after(response);
  }
}

void HttpServer::Listener::answer_post(const httplib::Request& request, httplib::Response& response,
                                       const httplib::ContentReader& reader) {
  std::string body;
  bool fits = true;
  const bool read = reader([&](const char* data, size_t size) {
    fits = std::ssize(body) + static_cast<int64_t>(size) <= settings_.body_bytes;
    if (fits) body.append(data, size);
    return fits;
  });
  if (read) return put(reply_to(request, std::move(body)), response);
  if (!fits) {
    refuse({http_status::too_large, "",
            fmt::format("the body may have {} bytes: send less at once", settings_.body_bytes)},
           response);
  } else {
    refuse({http_status::bad_request, "", "the body ended early, or came too slowly"}, response);
  }
}

HttpReply HttpServer::Listener::reply_to(const httplib::Request& request, std::string body) {
  HttpConnection* const connection = this_connection;
  HttpReply reply = answer_({.method = request.method,
                             .path = request.path,
                             .body = std::move(body),
                             .is_connected = [connection] { return connection->is_connected(); }});
  if (reply.stream == nullptr || request.version != "HTTP/1.0") return reply;
  return error_reply({http_status::bad_request, "stream", "streams need HTTP/1.1"});
}

bool HttpServer::Listener::serve() {
  const bool well = listen_after_bind();
  served_ = true;
  return well;
}

void HttpServer::Listener::end(double seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  // httplib cuts streams off when it stops: first they come to their end.
  while (replies_ > 0 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  closing_ = true;
  while (!is_running() && !served_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  stop();
}

HttpServer::Figures HttpServer::Listener::figures() const { return {requests_, connections_}; }

HttpServer::HttpServer(HttpSettings settings, std::function<HttpReply(const HttpRequest&)> answer)
    : listener_(std::make_unique<Listener>(std::move(settings), std::move(answer))) {}

HttpServer::~HttpServer() = default;

std::string HttpServer::address() const { return listener_->address(); }

void HttpServer::run() {
  const bool well = listener_->serve();
  BITMILL_CHECK(well, Error,
                "the system lets no more clients in (accept): see its limits on open files");
}

void HttpServer::stop(double seconds) { listener_->end(seconds); }

HttpServer::Figures HttpServer::figures() const { return listener_->figures(); }

}  // namespace bitmill
