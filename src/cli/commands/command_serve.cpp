#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/decoder_job.hpp"
#include "cli/options/serve_options.hpp"
#include "cli/process/failure.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/serve_report.hpp"
#include "serve/http_admission.hpp"
#include "serve/http_server.hpp"
#include "serve/scheduler.hpp"
#include "serve/served_model.hpp"
#include "serve/service.hpp"

namespace bitmill {
namespace {

constexpr int64_t normal_context = 2048;    // at most: a cache is large
constexpr int64_t connections_beside = 64;  // for what is answered at once, and for idle clients
constexpr std::chrono::milliseconds look_for_signal_every(50);
constexpr double seconds_to_say_goodbye = 2;  // to send what is ready

// A key goes into a header, where some characters would be changed on the way.
void check_key(const std::string& key, const std::string& where) {
  const bool fits = !key.empty() && std::ranges::all_of(key, [](char c) {
    return c > ' ' && c <= '~' && c != '%';
  });
  BITMILL_CHECK(fits, UsageError,
                fmt::format("{}: the key must be one line of ASCII letters, digits and signs, "
                            "without blanks and %",
                            where));
}

std::string read_key(Files& files, const std::string& key_file) {
  const auto variable = process_environment()(key_variable);
  if (key_file.empty()) {
    if (variable) check_key(*variable, key_variable);
    return variable.value_or("");
  }
  BITMILL_CHECK(
      !variable, UsageError,
      fmt::format("--key-file {} and {} both give a key: leave one out", key_file, key_variable));
  constexpr int64_t longest_key_file = 4096;
  std::string key = read_text(files, key_file, longest_key_file);
  while (key.ends_with('\n') || key.ends_with('\r')) key.pop_back();
  check_key(key, key_file);
  return key;
}

class ServeCommand : public Command {
 public:
  explicit ServeCommand(ServeRequest request)
      : request_(std::move(request)), job_("serve", request_.model, request_.products) {}

  void check(const CheckContext& context) override {
    job_.check(context);
    const int64_t limit = job_.config().context;
    BITMILL_CHECK(request_.context <= limit, UsageError,
                  fmt::format("--context {} is more than the context of {}, {}", request_.context,
                              request_.model, limit));
    positions_ = request_.context > 0 ? request_.context : std::min(limit, normal_context);
    const std::string name =
        request_.name.empty() ? file_name(context.files.resolve(request_.model)) : request_.name;
    model_.emplace(context.files, request_.model, job_.config(), name, positions_);
    key_ = read_key(context.files, request_.key_file);
  }

  void run(RunContext& context) override {
    std::optional<Service> service;
    // A port that is taken is found out before the long work.
    HttpServer server({.host = request_.host,
                       .port = request_.port,
                       .key = key_,
                       .body_bytes = request_.body_bytes,
                       .connections = request_.places + request_.queue + connections_beside},
                      [&](const HttpRequest& request) { return service->answer(request); });
    job_.load(context);
    job_.check_cache(request_.places, positions_, "give a smaller --context, or fewer --places");
    TextBatch batch(job_.model(), model_->tokenizer(), request_.places, positions_);
    Scheduler scheduler(batch, context.pool, request_.queue);
    service.emplace(*model_, scheduler);
    announce(context, server, batch);
    std::optional<Failure> failure;
    std::atomic<bool> ended = false;
    std::thread door([&] {
      failure = failure_of([&] { server.run(); });
      ended = true;
    });
    watch_over(context, scheduler, ended);
    service->begin_to_stop();
    wind_up(context, scheduler);
    server.stop(seconds_to_say_goodbye);
    door.join();
    BITMILL_CHECK(!failure, Error, failure->message);
    context.console.say("bitmill serve: ended");
  }

 private:
  void announce(RunContext& context, const HttpServer& server, const TextBatch& batch) const {
    const ServeFigures figures{.address = server.address(),
                               .name = model_->name(),
                               .kernel = job_.model().kernel(),
                               .threads = context.pool.size(),
                               .load_seconds = job_.load_seconds(),
                               .resident_bytes = job_.model().resident_bytes(),
                               .cache_bytes = batch.cache_bytes(),
                               .places = request_.places,
                               .positions = positions_,
                               .has_key = !key_.empty(),
                               .no_chat_reason = model_->no_chat_reason()};
    if (request_.json) {
      context.console.print(json_line(serve_json(figures)));
    } else {
      context.console.say(serve_table(figures));
    }
    if (key_.empty() && !is_loopback(request_.host)) {
      context.console.say(
          fmt::format("bitmill serve: note: --host {} lets other machines in, and "
                      "no key is asked for: give --key-file, or set {}",
                      request_.host, key_variable));
    }
  }

  // Until a signal comes, or the door fails.
  void watch_over(RunContext& context, const Scheduler& scheduler,
                  const std::atomic<bool>& ended) const {
    Scheduler::Figures before;
    Stopwatch watch;
    while (!context.stop.wanted() && !ended) {
      std::this_thread::sleep_for(look_for_signal_every);
      const double seconds = watch.seconds();
      if (request_.log_seconds == 0 || seconds < static_cast<double>(request_.log_seconds)) {
        continue;
      }
      const Scheduler::Figures now = scheduler.figures();
      if (const std::string line = serve_line(before, now, seconds); !line.empty()) {
        context.console.say(line);
      }
      before = now;
      watch = Stopwatch();
    }
  }

  void wind_up(RunContext& context, Scheduler& scheduler) const {
    scheduler.stop_taking();
    const Stopwatch watch;
    while (!scheduler.is_idle() && watch.seconds() < static_cast<double>(request_.grace_seconds)) {
      std::this_thread::sleep_for(look_for_signal_every);
    }
    if (const int64_t cut = scheduler.figures().in_batch; cut > 0) {
      context.console.say(fmt::format("bitmill serve: {} cut off after --grace {}",
                                      format_number_of("text", cut), request_.grace_seconds));
    }
    scheduler.cut();
  }

  const ServeRequest request_;
  DecoderJob job_;
  std::optional<ServedModel> model_;
  std::string key_;
  int64_t positions_ = 0;
};

}  // namespace

CommandEntry serve_entry() {
  return {.name = "serve",
          .summary = "answer requests of the OpenAI API with a 16-bit or packed model",
          .about =
              "Loads a model folder, packed or not, and answers requests for completions and chats "
              "over HTTP, several at once. It ends on SIGTERM or Ctrl-C.",
          .usage = {"serve --model DIR [--port N] [options]"},
          .example = "bitmill serve --model tests/data/books-2M --port 8080",
          .positional = "",
          .options = serve_option_groups(),
          .stops_on_signals = true,
          .after_signal = "requests that are being answered have --grace seconds to end",
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<ServeCommand>(read_serve_request(settings));
          }};
}

}  // namespace bitmill
