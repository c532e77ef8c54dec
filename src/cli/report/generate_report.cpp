#include "cli/report/generate_report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

std::string describe_finish(const GenerateFigures& figures) {
  switch (figures.generated.finish) {
    case Finish::end_token:
      return "the model ended its text";
    case Finish::stop_text:
      return "a text of --stop came";
    case Finish::max_tokens:
      return "--max-tokens";
    case Finish::no_room:
      return fmt::format("the {} positions of the cache are full", format_count(figures.positions));
  }
  return {};
}

}  // namespace

std::string format_token_speed(double tokens_per_s) {
  if (!std::isfinite(tokens_per_s)) return "-";
  return fmt::format("{:.{}f} tokens/s", tokens_per_s, tokens_per_s < 100 ? 2 : 0);
}

nlohmann::ordered_json generate_json(const std::string& model, const GenerateFigures& figures) {
  const Generated& generated = figures.generated;
  return {{"model", model},
          {"text", generated.text},
          {"tokens", generated.ids},
          {"finish", name_of(generated.finish)},
          {"prompt_tokens", generated.prompt_tokens},
          {"prefill_tokens_per_s", generated.prefill_tokens_per_s()},
          {"decode_tokens_per_s", generated.decode_tokens_per_s()},
          {"kernel", figures.kernel},
          {"threads", figures.threads},
          {"load_s", figures.load_seconds},
          {"resident_bytes", figures.resident_bytes},
          {"cache_bytes", figures.cache_bytes},
          {"context", figures.positions}};
}

std::string generate_table(const GenerateFigures& figures) {
  const Generated& generated = figures.generated;
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row(
      {"prefill", fmt::format("{} in {}, {}", format_number_of("token", generated.prompt_tokens),
                              format_seconds(generated.prefill_seconds),
                              format_token_speed(generated.prefill_tokens_per_s()))});
  table.add_row(
      {"decode", fmt::format("{} in {}, {}", format_number_of("token", generated.decode_tokens),
                             format_seconds(generated.decode_seconds),
                             format_token_speed(generated.decode_tokens_per_s()))});
  table.add_row({"ended by", describe_finish(figures)});
  table.add_row({"kernel", fmt::format("{}, {}", figures.kernel,
                                       format_number_of("thread", figures.threads))});
  table.add_row(
      {"model in memory", fmt::format("{}, loaded in {}", format_bytes(figures.resident_bytes),
                                      format_seconds(figures.load_seconds))});
  table.add_row({"cache", fmt::format("{} for {} positions", format_bytes(figures.cache_bytes),
                                      format_count(figures.positions))});
  return table.text();
}

std::string no_room_note(const GenerateFigures& figures) {
  return fmt::format(
      "bitmill generate: note: the text ends because {}: --context gives more, as far as the "
      "model's own context goes",
      describe_finish(figures));
}

}  // namespace bitmill
