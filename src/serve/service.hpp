#pragma once
// The paths of the server and what they answer. No sockets.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_answer.hpp"
#include "serve/api_request.hpp"
#include "serve/http_exchange.hpp"
#include "serve/scheduler.hpp"
#include "serve/served_model.hpp"

namespace bitmill {

class Service {
 public:
  // Paths that are read from, and paths that take a body.
  static const std::vector<std::string>& get_paths();
  static const std::vector<std::string>& post_paths();

  // Both must outlive the service.
  Service(const ServedModel& model, Scheduler& scheduler);

  // Any thread. Waits until the answer is whole, or the client has gone; a stream is made later, in
  // reply.stream. Never throws but std::bad_alloc: what goes wrong is a reply.
  HttpReply answer(const HttpRequest& request);

  // From now on /health says that the server ends.
  void begin_to_stop() { stopping_ = true; }

 private:
  struct Exchange;
  struct Route;

  static std::span<const Route> routes();
  static std::vector<std::string> paths_of(std::string_view method);
  HttpReply dispatch(const HttpRequest& request);
  HttpReply health(const HttpRequest&);
  HttpReply models(const HttpRequest&);
  HttpReply tokenizer_info(const HttpRequest&);
  HttpReply complete(const HttpRequest& request);
  HttpReply chat(const HttpRequest& request);
  HttpReply tokenize(const HttpRequest& request);
  HttpReply detokenize(const HttpRequest& request);
  HttpReply write_texts(TextRequest asked, const HttpRequest& request);
  std::shared_ptr<Exchange> submit(TextRequest asked);
  static HttpReply whole_reply(Exchange& exchange, const HttpRequest& request);
  static HttpReply stream_reply(std::shared_ptr<Exchange> exchange, const HttpRequest& request);

  const ServedModel& model_;
  Scheduler& scheduler_;
  const int64_t created_;               // seconds since 1970
  const uint64_t first_seed_;           // of requests without one
  std::atomic<uint64_t> requests_ = 0;  // numbers given out: one for each text
  std::atomic<bool> stopping_ = false;
};

HttpReply error_reply(const RequestError& error);

}  // namespace bitmill
