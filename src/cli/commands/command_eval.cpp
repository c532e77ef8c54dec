#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands/command.hpp"
#include "cli/commands/eval_job.hpp"
#include "cli/report/console.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

std::string describe_evaluation(const Evaluation& evaluation) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"perplexity", fmt::format("{:.4f}", evaluation.perplexity)});
  if (evaluation.divergence) {
    table.add_row(
        {"KL from the reference", fmt::format("{:.4f} nats per token", evaluation.divergence->kl)});
    table.add_row({"top-1 agreement", fmt::format("{:.2f} %", 100 * evaluation.divergence->top1)});
  }
  table.add_row(
      {"scored", fmt::format("{} tokens in {} windows of {}", format_count(evaluation.tokens),
                             evaluation.windows, evaluation.seq_len)});
  return table.text();
}

class EvalCommand : public Command {
 public:
  explicit EvalCommand(EvalRequest request) : job_(std::move(request)) {}

  void check(const CheckContext& context) override { job_.check(context); }

  void run(RunContext& context) override {
    const Evaluation evaluation = job_.run(context, "eval");
    context.console.print(job_.request().json
                              ? json_line(evaluation_json(job_.request(), evaluation))
                              : describe_evaluation(evaluation));
  }

 private:
  EvalJob job_;
};

}  // namespace

CommandEntry eval_entry() {
  return {.name = "eval",
          .summary = "perplexity of a 16-bit or packed model",
          .about =
              "Measures how well a model predicts a text, as perplexity over windows; with "
              "--reference also how far its predictions are from another model's.",
          .usage = {"eval --model DIR --corpus FILE [options]"},
          .example =
              "bitmill eval --model /tmp/books-packed --corpus tests/data/books/eval.txt "
              "--reference tests/data/books-2M",
          .positional = "",
          .options = eval_option_groups(),
          .watched = true,
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<EvalCommand>(read_eval_request(settings));
          }};
}

}  // namespace bitmill
