#include "serve/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <random>
#include <utility>

#include "serve/request_error.hpp"

namespace bitmill {
namespace {

// How long a client that went away can go unnoticed while there is no news.
constexpr std::chrono::milliseconds look_for_client_every(50);

uint64_t random_number() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

HttpReply json_reply(std::string body) { return {.body = std::move(body)}; }

}  // namespace

HttpReply error_reply(const RequestError& error) {
  return {.status = error.status(), .body = error_answer(error)};
}

struct Service::Route {
  std::string_view method;
  std::string_view path;
  HttpReply (Service::*answer)(const HttpRequest&);
};

std::span<const Service::Route> Service::routes() {
  static constexpr Route table[] = {
      {"GET", "/health", &Service::health},
      {"GET", "/v1/models", &Service::models},
      {"GET", "/tokenizer_info", &Service::tokenizer_info},
      {"POST", "/v1/completions", &Service::complete},
      {"POST", "/v1/chat/completions", &Service::chat},
      {"POST", "/tokenize", &Service::tokenize},
      {"POST", "/detokenize", &Service::detokenize},
  };
  return table;
}

std::vector<std::string> Service::paths_of(std::string_view method) {
  std::vector<std::string> paths;
  for (const Route& route : routes()) {
    if (route.method == method) paths.emplace_back(route.path);
  }
  return paths;
}

const std::vector<std::string>& Service::get_paths() {
  static const std::vector<std::string> paths = paths_of("GET");
  return paths;
}

const std::vector<std::string>& Service::post_paths() {
  static const std::vector<std::string> paths = paths_of("POST");
  return paths;
}

// A request whose texts are being written. When nobody holds it any more, they are dropped.
struct Service::Exchange {
  Exchange(TextAnswer what, std::shared_ptr<TextAnswers> from)
      : answer(std::move(what)), news(std::move(from)) {}
  ~Exchange() { news->cancel(); }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  TextAnswer answer;
  std::shared_ptr<TextAnswers> news;
};

Service::Service(const ServedModel& model, Scheduler& scheduler)
    : model_(model),
      scheduler_(scheduler),
      created_(std::time(nullptr)),
      first_seed_(random_number() >> 12) {}  // below 2^52: JavaScript reads it exactly

HttpReply Service::answer(const HttpRequest& request) {
  try {
    return dispatch(request);
  } catch (const RequestError& error) {
    return error_reply(error);
  } catch (const Error& error) {
    return error_reply({http_status::failed, "", error.what()});
  }
}

HttpReply Service::dispatch(const HttpRequest& request) {
  for (const Route& route : routes()) {
    if (route.path == request.path) return (this->*route.answer)(request);
  }
  throw RequestError(http_status::not_found, "",
                     fmt::format("there is nothing at {}", request.path));
}

HttpReply Service::health(const HttpRequest&) {
  if (stopping_) {
    return error_reply({http_status::unavailable, "", "the server is being stopped"});
  }
  return json_reply(R"({"status":"ok"})");
}

HttpReply Service::models(const HttpRequest&) {
  return json_reply(models_answer(model_, created_));
}

HttpReply Service::tokenizer_info(const HttpRequest&) {
  return json_reply(tokenizer_answer(model_));
}

HttpReply Service::complete(const HttpRequest& request) {
  return write_texts(read_completion(request.body), request);
}

HttpReply Service::chat(const HttpRequest& request) {
  return write_texts(read_chat(request.body), request);
}

HttpReply Service::tokenize(const HttpRequest& request) {
  const TokenizeRequest asked = read_tokenize(request.body);
  model_.check_name(asked.model);
  return json_reply(tokens_answer(model_, model_.encode(asked.prompt, asked.add_special)));
}

HttpReply Service::detokenize(const HttpRequest& request) {
  const DetokenizeRequest asked = read_detokenize(request.body);
  model_.check_name(asked.model);
  model_.check_ids(asked.tokens, "tokens");
  return json_reply(
      detokenized_answer(model_.tokenizer().decode(asked.tokens, /*skip_special=*/false)));
}

HttpReply Service::write_texts(TextRequest asked, const HttpRequest& request) {
  model_.check_name(asked.model);
  const bool stream = asked.stream;
  const std::shared_ptr<Exchange> exchange = submit(std::move(asked));
  return stream ? stream_reply(exchange, request) : whole_reply(*exchange, request);
}

std::shared_ptr<Service::Exchange> Service::submit(TextRequest asked) {
  // A number for each of the texts: text i draws with the request's seed + i.
  const uint64_t number = requests_.fetch_add(std::max<size_t>(1, asked.prompts.size()));
  if (!asked.seed_given) asked.sampler.seed = first_seed_ + number;
  std::vector<TextTask> tasks = model_.tasks_of(asked);
  const std::string id =
      fmt::format("{}-{:016x}-{}", asked.chat ? "chatcmpl" : "cmpl", first_seed_, number);
  auto exchange = std::make_shared<Exchange>(
      TextAnswer(model_, std::move(asked), tasks, id, std::time(nullptr)),
      std::make_shared<TextAnswers>());
  std::vector<ScheduledText> texts;
  texts.reserve(tasks.size());
  for (TextTask& task : tasks) {
    texts.push_back({std::move(task), exchange->news->listener(texts.size())});
  }
  switch (scheduler_.submit(std::move(texts))) {
    case Scheduler::Answer::taken:
      return exchange;
    case Scheduler::Answer::full:
      throw RequestError(http_status::unavailable, "",
                         "too many requests wait already: try again later");
    case Scheduler::Answer::stopping:
      break;
  }
  throw RequestError(http_status::unavailable, "", "the server is being stopped: try again later");
}

HttpReply Service::whole_reply(Exchange& exchange, const HttpRequest& request) {
  while (!exchange.answer.is_done()) {
    // With every piece of news, too: they may come one after the other until the end.
    if (!request.is_connected()) {
      return error_reply({http_status::unavailable, "", "the client has gone"});
    }
    const auto news = exchange.news->wait(look_for_client_every);
    if (news && news->failure) return error_reply(*news->failure);
    if (news) exchange.answer.add(*news);
  }
  return json_reply(exchange.answer.whole());
}

HttpReply Service::stream_reply(std::shared_ptr<Exchange> exchange, const HttpRequest& request) {
  HttpReply reply{.content_type = "text/event-stream"};
  reply.stream = [exchange = std::move(exchange),
                  is_connected = request.is_connected](const HttpWrite& write) {
    TextAnswer& answer = exchange->answer;
    const std::string first = answer.first_events();
    bool heard = first.empty() || write(first);
    while (heard && !answer.is_done()) {
      const auto news = exchange->news->wait(look_for_client_every);
      if (!news) {
        heard = is_connected();
      } else if (news->failure) {
        write("data: " + error_answer(*news->failure) + "\n\n");
        return false;
      } else {
        answer.add(*news);
        heard = is_connected() && write(answer.events_of(*news));
      }
    }
    return heard && write(answer.last_events());
  };
  return reply;
}

}  // namespace bitmill
