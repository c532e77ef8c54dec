#include "serve/http_server.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "serve/connection_threads.hpp"
#include "serve/http_admission.hpp"
#include "serve/http_connection.hpp"
#include "serve/request_error.hpp"
#include "serve/service.hpp"

namespace bitmill {
namespace {

constexpr int waiting_clients = 1024;     // that the system keeps until they are let in
constexpr size_t most_requests = 100000;  // of one connection
constexpr const char* retry_after_seconds = "1";

// The connection that this thread serves: httplib does not hand it to its handlers.
thread_local HttpConnection* this_connection = nullptr;

// Says of a reply that nothing follows it.
void close_after(httplib::Response& response) {
  this_connection->give_up();
  response.set_header("Connection", "close");
}

void put(const HttpReply& reply, httplib::Response& response) {
  response.status = reply.status;
  if (reply.status == http_status::unavailable) {
    response.set_header("Retry-After", retry_after_seconds);
  }
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

class HttpServer::Listener final : public httplib::Server {
 public:
  Listener(HttpSettings settings, std::function<HttpReply(const HttpRequest&)> answer);
  ~Listener() override;

  std::string address() const;
  bool serve();
  void end(double seconds);

 private:
  bool process_and_close_socket(socket_t socket) override;
  void serve_connection(socket_t socket);
  bool is_crowded() const { return connections_ > settings_.connections * 3 / 4; }
  void listen_on_address();
  void set_handlers();
  void answer_get(const httplib::Request& request, httplib::Response& response);
  void answer_post(const httplib::Request& request, httplib::Response& response,
                   const httplib::ContentReader& reader);
  HttpReply reply_to(const httplib::Request& request, std::string body);

  const HttpSettings settings_;
  const std::function<HttpReply(const HttpRequest&)> answer_;
  ConnectionLimits limits_;
  int port_ = 0;
  std::atomic<bool> closing_ = false;
  std::atomic<bool> served_ = false;  // it has ended
  std::atomic<int64_t> replies_ = 0;  // that are being made or sent
  std::atomic<int64_t> connections_ = 0;
};

HttpServer::Listener::Listener(HttpSettings settings,
                               std::function<HttpReply(const HttpRequest&)> answer)
    : settings_(std::move(settings)), answer_(std::move(answer)) {
  limits_.body_bytes = settings_.body_bytes;
  new_task_queue = [this] {
    // httplib deletes it when it has ended.
    return new ConnectionThreads(static_cast<size_t>(settings_.connections));
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
      check_head(request, settings_);
      if (request.method == "POST") return HandlerResponse::Unhandled;
      answer_get(request, response);
    } catch (const RequestError& error) {
      refuse(error, response);
    }
    return HandlerResponse::Handled;
  });
  for (const std::string& path : Service::post_paths()) {
    Post(path,
         [this](const httplib::Request& request, httplib::Response& response,
                const httplib::ContentReader& reader) { answer_post(request, response, reader); });
  }
  set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    refuse({response.status, "", "this is no request that the server can read"}, response);
  });
  set_exception_handler(
      [](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) {
        refuse({http_status::failed, "", "the server could not answer this request"}, response);
      });
  set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
    if (this_connection->is_given_up()) response.headers.erase("Keep-Alive");
  });
  set_keep_alive_max_count(most_requests);
  set_keep_alive_timeout(limits_.idle.count());
}

// In the place of httplib's own: its connections wait without end for the bytes of a head, and do
// not tell whether the client is still there.
bool HttpServer::Listener::process_and_close_socket(socket_t socket) {
  ++connections_;
  serve_connection(socket);
  --connections_;  // after its goodbye
  return true;
}

void HttpServer::Listener::serve_connection(socket_t socket) {
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  HttpConnection connection(socket, limits_, closing_);
  this_connection = &connection;
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
      request.headers.erase("Accept-Encoding");  // an answer is not worth compressing
      request.ranges.clear();
    });
    --replies_;
    if (!sent || closed || last || connection.is_given_up() || !connection.has_body_begun()) break;
  }
  this_connection = nullptr;
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

}  // namespace bitmill
