#include "cli/report/serve_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/report/generate_report.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {

nlohmann::ordered_json serve_json(const ServeFigures& figures) {
  return {{"address", figures.address},
          {"model", figures.name},
          {"kernel", figures.kernel},
          {"threads", figures.threads},
          {"load_s", figures.load_seconds},
          {"resident_bytes", figures.resident_bytes},
          {"cache_bytes", figures.cache_bytes},
          {"places", figures.places},
          {"context", figures.positions},
          {"key", figures.has_key},
          {"chat", figures.no_chat_reason.empty()}};
}

std::string serve_table(const ServeFigures& figures) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"address", figures.address});
  table.add_row({"model", figures.name});
  table.add_row({"kernel", fmt::format("{}, {}", figures.kernel,
                                       format_number_of("thread", figures.threads))});
  table.add_row(
      {"model in memory", fmt::format("{}, loaded in {}", format_bytes(figures.resident_bytes),
                                      format_seconds(figures.load_seconds))});
  table.add_row(
      {"cache",
       fmt::format("{} for {} of {} positions", format_bytes(figures.cache_bytes),
                   format_number_of("text", figures.places), format_count(figures.positions))});
  table.add_row({"key", figures.has_key ? "asked for" : "none: everybody who gets here may ask"});
  table.add_row(
      {"chat", figures.no_chat_reason.empty() ? "yes" : "refused: " + figures.no_chat_reason});
  return table.text();
}

std::string serve_line(const Scheduler::Figures& before, const Scheduler::Figures& now,
                       double seconds) {
  const uint64_t asked = now.requests - before.requests, refused = now.refused - before.refused;
  const uint64_t read = now.prompt_tokens - before.prompt_tokens;
  const uint64_t written = now.new_tokens - before.new_tokens;
  if (asked + refused + read + written == 0) return "";
  const auto number = [](const std::string& thing, uint64_t count) {
    return format_number_of(thing, static_cast<int64_t>(count));
  };
  return fmt::format(
      "bitmill serve: {}{}; {} in the batch, {} waiting; read {}, wrote {} in {}: {}",
      number("request", asked), refused == 0 ? "" : fmt::format(" and {} refused", refused),
      number("text", static_cast<uint64_t>(now.in_batch)), now.waiting, number("token", read),
      number("token", written), format_seconds(seconds),
      format_token_speed(static_cast<double>(written) / seconds));
}

}  // namespace bitmill
