#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/random.hpp"
#include "base/stopwatch.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/decoder_job.hpp"
#include "cli/report/generate_report.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

struct BenchRequest {
  std::string model;
  int64_t prompt_tokens = 0;
  int64_t decode_tokens = 0;
  int64_t repeats = 0;
  ProductChoice products;
  bool json = false;
};

struct BenchFigures {
  double prefill_tokens_per_s = 0;
  double decode_tokens_per_s = 0;
  int64_t cache_bytes = 0;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

class BenchCommand : public Command {
 public:
  explicit BenchCommand(BenchRequest request)
      : request_(std::move(request)), job_("bench", request_.model, request_.products) {}

  void check(const CheckContext& context) override {
    job_.check(context);
    const int64_t context_size = job_.config().context;
    BITMILL_CHECK(
        request_.prompt_tokens < context_size &&
            request_.decode_tokens <= context_size - request_.prompt_tokens,
        UsageError,
        fmt::format("--prompt-tokens {} and --decode-tokens {} together are more than "
                    "the context of {}, {}: give fewer",
                    request_.prompt_tokens, request_.decode_tokens, request_.model, context_size));
  }

  void run(RunContext& context) override {
    job_.load(context);
    const BenchFigures figures = measure(context);
    context.console.print(request_.json ? json_line(json(figures, context.pool.size()))
                                        : table(figures, context.pool.size()));
  }

 private:
  // Any tokens do. (Inputs with outliers take a product longer, src/product/README.md; random
  // tokens have as many as others.)
  std::vector<int32_t> some_tokens(int64_t count) const {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<int32_t>(
          random_below(0, RandomPurpose::test_data, i, job_.config().vocab_size)));
    }
    return ids;
  }

  BenchFigures measure(RunContext& context) const {
    const auto session = job_.start_session(request_.prompt_tokens + request_.decode_tokens,
                                            "give fewer --prompt-tokens or --decode-tokens");
    const ResidentModel& model = job_.model();
    const auto prompt = some_tokens(request_.prompt_tokens);
    const auto last_logits = [&](const at::Tensor& x) {
      return model.logits(x.narrow(0, x.size(0) - 1, 1), context.pool);
    };
    std::vector<double> prefill, decode;
    // The first round warms up caches and the processor's clock, and does not count.
    for (int64_t round = 0; round <= request_.repeats; ++round) {
      session->length = 0;
      const Stopwatch prefill_watch;
      last_logits(model.forward(*session, prompt, context.pool));
      const double prefill_seconds = prefill_watch.seconds();
      const Stopwatch decode_watch;
      for (int64_t i = 0; i < request_.decode_tokens; ++i) {
        last_logits(model.forward(*session, {&prompt[i % prompt.size()], 1}, context.pool));
      }
      const double decode_seconds = decode_watch.seconds();
      if (round == 0) continue;
      prefill.push_back(static_cast<double>(request_.prompt_tokens) / prefill_seconds);
      decode.push_back(static_cast<double>(request_.decode_tokens) / decode_seconds);
    }
    return {median(prefill), median(decode), session->cache.bytes()};
  }

  // A token reads every weight once.
  double decode_bytes_per_s(const BenchFigures& figures) const {
    return figures.decode_tokens_per_s * static_cast<double>(job_.model().weight_bytes());
  }

  nlohmann::ordered_json json(const BenchFigures& figures, int threads) const {
    return {{"model", request_.model},
            {"prefill_tokens_per_s", figures.prefill_tokens_per_s},
            {"decode_tokens_per_s", figures.decode_tokens_per_s},
            {"decode_bytes_per_s", decode_bytes_per_s(figures)},
            {"kernel", job_.model().kernel()},
            {"threads", threads},
            {"resident_bytes", job_.model().resident_bytes()},
            {"weight_bytes", job_.model().weight_bytes()},
            {"cache_bytes", figures.cache_bytes},
            {"load_s", job_.load_seconds()},
            {"prompt_tokens", request_.prompt_tokens},
            {"decode_tokens", request_.decode_tokens},
            {"repeats", request_.repeats}};
  }

  std::string table(const BenchFigures& figures, int threads) const {
    Table speeds({{"", Table::Align::left},
                  {"tokens"},
                  {"tokens/s"},
                  {"bytes/s"},
                  {"kernel", Table::Align::left},
                  {"threads"}});
    const auto add = [&](const char* what, int64_t tokens, double speed, const std::string& bytes) {
      speeds.add_row({what, format_count(tokens), fmt::format("{:.2f}", speed), bytes,
                      job_.model().kernel(), std::to_string(threads)});
    };
    add("prefill", request_.prompt_tokens, figures.prefill_tokens_per_s, "");
    add("decode", request_.decode_tokens, figures.decode_tokens_per_s,
        format_bytes(static_cast<int64_t>(decode_bytes_per_s(figures))));
    return speeds.text() +
           fmt::format(
               "\nmodel in memory: {}, of which a token reads {}; cache: {}; medians of {}\n",
               format_bytes(job_.model().resident_bytes()),
               format_bytes(job_.model().weight_bytes()), format_bytes(figures.cache_bytes),
               request_.repeats);
  }

  const BenchRequest request_;
  DecoderJob job_;
};

OptionGroups bench_option_groups() {
  std::vector<Option> machine = product_options();
  machine.push_back(threads_option());
  return {{"what to measure",
           {{"model", "DIR", "", "a 16-bit or a packed folder"},
            {"prompt-tokens", "N", "64", "tokens of a prefill"},
            {"decode-tokens", "N", "32", "tokens that are decoded after it, one by one"},
            {"repeats", "N", "5", "the medians of so many rounds are given"},
            config_option(),
            json_option("the figures")}},
          {"the machine", machine}};
}

BenchRequest read_bench_request(const Settings& settings) {
  settings.require({"model"}, "bench");
  constexpr int64_t most = int64_t{1} << 31;
  return {.model = settings.folder_or("model", ""),
          .prompt_tokens = settings.whole_or("prompt-tokens", 64, 1, most),
          .decode_tokens = settings.whole_or("decode-tokens", 32, 1, most),
          .repeats = settings.whole_or("repeats", 5, 1, 1000),
          .products = read_product_choice(settings),
          .json = settings.is_on("json")};
}

}  // namespace

CommandEntry bench_entry() {
  return {.name = "bench",
          .summary = "speed of a model folder on this machine, prefill and decode",
          .about =
              "Loads a model folder, packed or not, and measures how fast this machine takes in a "
              "prompt, and how fast it makes tokens one by one.",
          .usage = {"bench --model DIR [options]"},
          .example = "bitmill bench --model tests/data/books-2M --threads 1",
          .positional = "",
          .options = bench_option_groups(),
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<BenchCommand>(read_bench_request(settings));
          }};
}

}  // namespace bitmill
