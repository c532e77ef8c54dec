#include "cli/options/generate_options.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "cli/options/shared_options.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

constexpr int64_t default_max_tokens = 256;

std::vector<Option> with(std::vector<Option> options, const std::vector<Option>& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

// A number in (low, high] or [low, high].
double number_in(const Settings& settings, const std::string& name, double fallback, double low,
                 bool low_allowed, double high) {
  const double number = settings.rate_or(name, fallback);
  const bool fits = (low_allowed ? number >= low : number > low) && number <= high;
  BITMILL_CHECK(
      fits, UsageError,
      fmt::format("{}: expected a number {} {} and at most {}, found \"{}\"", settings.origin(name),
                  low_allowed ? "of at least" : "above", low, high, settings.text_or(name, "")));
  return number;
}

SamplerSettings read_sampler(const Settings& settings) {
  constexpr double hottest = 1e3, strongest = 1e3;  // far beyond what gives a text
  SamplerSettings sampler{
      .temperature = number_in(settings, "temperature", 0, 0, true, hottest),
      .top_k = settings.whole_or("top-k", 0, 0, INT64_MAX),
      .top_p = number_in(settings, "top-p", 1, 0, false, 1),
      .min_p = number_in(settings, "min-p", 0, 0, true, 1),
      .repetition_penalty = number_in(settings, "repetition-penalty", 1, 0, false, strongest),
      .seed = settings.seed_or("seed", 0)};
  if (sampler.temperature > 0) return sampler;
  for (const char* name : {"top-k", "top-p", "min-p", "seed"}) {
    BITMILL_CHECK(!settings.has(name), UsageError,
                  fmt::format("{} has no effect without --temperature above 0: the most likely "
                              "token is taken; give --temperature 1, or leave {} out",
                              settings.origin(name), settings.origin(name)));
  }
  return sampler;
}

// One text; or several, as a JSON list of strings.
std::vector<std::string> read_stop_texts(const Settings& settings) {
  if (!settings.has("stop")) return {};
  const std::string given = settings.text_or("stop", "");
  std::vector<std::string> texts = {given};
  if (given.starts_with('[')) {
    const auto list = nlohmann::json::parse(given, nullptr, /*allow_exceptions=*/false);
    texts.clear();
    bool strings = list.is_array() && !list.empty();
    for (size_t i = 0; strings && i < list.size(); ++i) {
      strings = list[i].is_string();
      if (strings) texts.push_back(list[i].get<std::string>());
    }
    BITMILL_CHECK(strings, UsageError,
                  fmt::format("{}: expected a text, or a JSON list of texts such as [\"\\n\\n\", "
                              "\"User:\"], found \"{}\"",
                              settings.origin("stop"), given));
  }
  for (const std::string& text : texts) {
    BITMILL_CHECK(!text.empty(), UsageError,
                  fmt::format("{}: an empty text would stop before the first token; leave it out",
                              settings.origin("stop")));
    BITMILL_CHECK(first_invalid_utf8(text) == text.npos, UsageError,
                  fmt::format("{}: the text is not UTF-8, and would never be found in one that is",
                              settings.origin("stop")));
  }
  return texts;
}

std::optional<std::string> optional_text(const Settings& settings, const std::string& name) {
  if (!settings.has(name)) return std::nullopt;
  return settings.text_or(name, "");
}

}  // namespace

OptionGroups generate_option_groups() {
  return {
      {"the prompt",
       {{"model", "DIR", "", "a 16-bit or a packed folder"},
        {"prompt", "TEXT", "", "the text to go on from; without one, standard input is read"},
        {"prompt-file", "FILE", "",
         "the same from a file; of a file and of standard input, one newline at the end is left "
         "out"},
        {"chat", "", "", "the prompt is a message: it is put into the model's chat template"},
        {"system", "TEXT", "the template's own", "the system message of --chat"},
        config_option()}},
      {"the text",
       {{"max-tokens", "N", std::to_string(default_max_tokens), "new tokens at most"},
        {"stop", "TEXT", "", "end before this text; or a JSON list of several"},
        {"temperature", "T", "0", "0: always the most likely token (greedy)"},
        {"top-k", "K", "0", "draw from the K most likely tokens only; 0: from all"},
        {"top-p", "P", "1", "draw from the most likely that reach this probability together"},
        {"min-p", "P", "0", "draw from those at least this likely, relative to the most likely"},
        {"repetition-penalty", "R", "1",
         "make tokens that were there less likely; 1: do not, above 1: less"},
        {"seed", "N", "0", "of the draws; the same seed gives the same text for any threads"},
        {"stats", "", "", "say speed, kernel and memory on standard error at the end"},
        json_option("text, token ids and figures")}},
      {"the machine", with({{"context", "N", "what prompt and --max-tokens need",
                             "positions that the cache of keys and values has room for"}},
                           with(product_options(), {threads_option()}))}};
}

GenerateRequest read_generate_request(const Settings& settings) {
  settings.require({"model"}, "generate");
  GenerateRequest request{
      .model = settings.folder_or("model", ""),
      .prompt = optional_text(settings, "prompt"),
      .prompt_file = optional_text(settings, "prompt-file"),
      .chat = settings.is_on("chat"),
      .system = optional_text(settings, "system"),
      .max_tokens = settings.whole_or("max-tokens", default_max_tokens, 1, INT64_MAX),
      .context = settings.whole_or("context", 0, 1, INT64_MAX),
      .sampler = read_sampler(settings),
      .stop_texts = read_stop_texts(settings),
      .products = read_product_choice(settings),
      .stats = settings.is_on("stats"),
      .json = settings.is_on("json")};
  BITMILL_CHECK(!request.prompt || !request.prompt_file, UsageError,
                fmt::format("{} and {} are both given: a text has one beginning; leave one out",
                            settings.origin("prompt"), settings.origin("prompt-file")));
  BITMILL_CHECK(!request.system || request.chat, UsageError,
                fmt::format("{} has no effect without --chat: only a chat has a system message",
                            settings.origin("system")));
  return request;
}

}  // namespace bitmill
