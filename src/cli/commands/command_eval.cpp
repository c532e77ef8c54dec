#include <nlohmann/json.hpp>

#include "cli/commands/command.hpp"
#include "cli/commands/eval_job.hpp"
#include "cli/report/console.hpp"

namespace bitmill {
namespace {

class EvalCommand : public Command {
 public:
  explicit EvalCommand(EvalRequest request) : job_(std::move(request)) {}

  void check(const CheckContext& context) override { job_.check(context); }

  void run(RunContext& context) override {
    const EvalResult result = job_.run(context, "eval");
    context.console.print(job_.request().json ? json_line(evaluation_json(job_.request(), result))
                                              : describe_evaluation(result));
  }

 private:
  EvalJob job_;
};

}  // namespace

CommandEntry eval_entry() {
  return {.name = "eval",
          .summary = "perplexity of a 16-bit or packed model, and its scores on tasks",
          .about =
              "Measures how well a model predicts a text, as perplexity over windows; with "
              "--reference also how far its predictions are from another model's. With --tasks "
              "also how many questions it answers right: multiple choice, or the last word of a "
              "text.",
          .usage = {"eval --model DIR --corpus FILE [options]",
                    "eval --model DIR --tasks FILE,... [options]"},
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
