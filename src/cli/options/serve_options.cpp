#include "cli/options/serve_options.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "cli/options/shared_options.hpp"
#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

constexpr int64_t normal_places = 4, most_places = 256;
constexpr int64_t normal_queue = 64, most_queue = 512;
constexpr int64_t normal_port = 8080, last_port = 65535;
constexpr int64_t normal_body = int64_t{1} << 21, least_body = 1 << 10, most_body = 1 << 30;
constexpr int64_t normal_grace = 30, normal_log = 10, longest_time = 1'000'000;

int64_t body_bytes_of(const Settings& settings) {
  const int64_t bytes = settings.bytes_or("max-body", normal_body);
  BITMILL_CHECK(bytes >= least_body && bytes <= most_body, UsageError,
                fmt::format("{}: expected a size from {} to {} bytes, found \"{}\"",
                            settings.origin("max-body"), least_body, most_body,
                            settings.text_or("max-body", "")));
  return bytes;
}

}  // namespace

OptionGroups serve_option_groups() {
  OptionGroups groups = {
      {"the model",
       {{"model", "DIR", "", "a 16-bit or a packed folder"},
        {"name", "NAME", "the folder's", "as clients call the model"},
        {"context", "N", "the model's, 2048 at most",
         "tokens of one text, prompt included, that there is room for"},
        {"places", "N", std::to_string(normal_places),
         "texts that are written at once; each takes a cache of --context positions"},
        config_option()}},
      {"the door",
       {{"host", "ADDRESS", "127.0.0.1",
         "the address to listen on: 0.0.0.0 lets other machines in"},
        {"port", "N", std::to_string(normal_port), "the port to listen on; 0: any that is free"},
        {"key-file", "FILE", fmt::format("the variable {}", key_variable),
         "the key that clients must send, on one line; without one, everybody may ask"},
        {"queue", "N", std::to_string(normal_queue),
         "requests that may wait for a place; those beyond are told to come back"},
        {"max-body", "SIZE", "2MiB", "the largest request"},
        {"grace", "SECONDS", std::to_string(normal_grace),
         "time that requests get to come to their end after a signal"},
        {"log-every", "SECONDS", std::to_string(normal_log),
         "say so often what was asked and how fast it was written; 0: never"},
        json_option("address and figures, once it listens,")}},
      {"the machine", product_options()}};
  groups.back().options.push_back(threads_option());
  return groups;
}

ServeRequest read_serve_request(const Settings& settings) {
  settings.require({"model"}, "serve");
  ServeRequest request{
      .model = settings.folder_or("model", ""),
      .name = settings.text_or("name", ""),
      .context = settings.whole_or("context", 0, 1, INT64_MAX),
      .places = settings.whole_or("places", normal_places, 1, most_places),
      .queue = settings.whole_or("queue", normal_queue, 1, most_queue),
      .host = settings.text_or("host", "127.0.0.1"),
      .port = static_cast<int>(settings.whole_or("port", normal_port, 0, last_port)),
      .key_file = settings.text_or("key-file", ""),
      .body_bytes = body_bytes_of(settings),
      .grace_seconds = settings.whole_or("grace", normal_grace, 0, longest_time),
      .log_seconds = settings.whole_or("log-every", normal_log, 0, longest_time),
      .products = read_product_choice(settings),
      .json = settings.is_on("json")};
  BITMILL_CHECK(
      request.products.path == ProductPath::fast, UsageError,
      fmt::format("{} is not for serve: there, the last bits of a token depend on how many "
                  "are computed with it, so a text would depend on who else asks; leave "
                  "it out",
                  settings.origin("backend")));
  BITMILL_CHECK(!settings.has("name") || !request.name.empty(), UsageError,
                fmt::format("{}: a name is expected, and it is empty", settings.origin("name")));
  return request;
}

}  // namespace bitmill
