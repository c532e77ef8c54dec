#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/eval_job.hpp"
#include "cli/commands/invocation.hpp"
#include "cli/commands/quantize_job.hpp"
#include "cli/report/console.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "cli/report/task_report.hpp"

namespace bitmill {
namespace {

// Settings of the run as a whole are refused in the section of one of its parts.
void refuse_in_section(const Settings& section, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    BITMILL_CHECK(!section.has(name), UsageError,
                  fmt::format("{}: bitmill run takes this from [run] or its own options",
                              section.origin(name)));
  }
}

// The evaluation of the run: of its result, and of the model that it starts from.
EvalRequest make_eval_request(Settings section, const QuantizeOptions& options) {
  refuse_in_section(section, {"model", "threads", "json", "allow-key", "tensor-prefix"});
  const std::string reference = section.folder_or("reference", options.model);
  BITMILL_CHECK(reference == options.model, UsageError,
                fmt::format("{}: bitmill run compares with the model it starts from, {}",
                            section.origin("reference"), options.model));
  BITMILL_CHECK(
      !section.has("activations"), UsageError,
      fmt::format("{}: bitmill run evaluates block by block; afterwards, give the result to "
                  "bitmill eval --activations",
                  section.origin("activations")));
  section.add("model", {options.model, "model in [quantize]"});
  EvalRequest request = read_eval_request(section);
  request.reading = options.reading;
  return request;
}

class RunCommand : public Command {
 public:
  // `compare`: also compares the predictions of the result with those of the original.
  RunCommand(QuantizeRequest quantize, EvalRequest eval, bool compare, bool json)
      : quantize_(std::move(quantize)), eval_(std::move(eval)), compare_(compare), json_(json) {}

  void check(const CheckContext& context) override {
    eval_.check_places(context.files);  // before the calibration is read
    quantize_.check(context);
    eval_.check(context);
  }

  void run(RunContext& context) override {
    if (quantize_.request().dry_run) {
      quantize_.compare_ranks(context);
      quantize_.say_notes(context.console);
      context.console.print(quantize_.dry_run_text());
      return;
    }
    const QuantizeJob::Outcome packed = quantize_.run(context);
    const SourceModel original(context.files, quantize_.options().model,
                               quantize_.options().reading);
    const SourceModel result(context.files, quantize_.options().output_dir);
    const EvalResult before = eval_.run(context, "eval of the original", original, nullptr);
    const EvalResult after =
        eval_.run(context, "eval of the result", result, compare_ ? &original : nullptr);
    context.console.print(json_ ? comparison_json(packed, before, after)
                                : comparison_table(packed, original, before, after));
    quantize_.draw(context);
  }

 private:
  static std::string comparison_table(const QuantizeJob::Outcome& packed,
                                      const SourceModel& original, const EvalResult& before,
                                      const EvalResult& after) {
    const QuantizeResult& result = packed.result;
    int64_t parameters = 0;
    for (const std::string& name : original.tensors().names()) {
      parameters += original.tensors().info(name).elements();
    }
    const double original_bits =
        8 * static_cast<double>(result.source_bytes) / static_cast<double>(parameters);
    Table table({{"", Table::Align::left}, {"original"}, {"packed"}});
    add_perplexity_rows(before, after, table);
    add_task_rows(before.tasks, after.tasks, table);
    table.add_row({"bits per weight", "", fmt::format("{:.4f}", result.bits_per_weight)});
    table.add_row({"bits per parameter", fmt::format("{:.4f}", original_bits),
                   fmt::format("{:.4f}", result.bits_per_parameter)});
    table.add_row({"size", format_bytes(result.source_bytes), format_bytes(result.packed_bytes)});
    table.add_row({"time", "", format_seconds(packed.facts.seconds)});
    return table.text();
  }

  // None without a corpus.
  static void add_perplexity_rows(const EvalResult& before, const EvalResult& after, Table& table) {
    if (!after.evaluation) return;
    table.add_row({"perplexity", fmt::format("{:.4f}", before.evaluation->perplexity),
                   fmt::format("{:.4f}", after.evaluation->perplexity)});
    if (const auto& divergence = after.evaluation->divergence) {
      table.add_row({"KL, nats", "", fmt::format("{:.4f}", divergence->kl)});
      table.add_row({"top-1 agreement", "", fmt::format("{:.2f} %", 100 * divergence->top1)});
    }
  }

  std::string comparison_json(const QuantizeJob::Outcome& packed, const EvalResult& before,
                              const EvalResult& after) const {
    nlohmann::ordered_json json = result_json(quantize_.options(), packed.result, packed.facts);
    if (after.evaluation) {
      json["perplexity_original"] = before.evaluation->perplexity;
      json["perplexity"] = after.evaluation->perplexity;
      json["tokens"] = after.evaluation->tokens;
      json["windows"] = after.evaluation->windows;
      json["seq_len"] = after.evaluation->seq_len;
      if (const auto& divergence = after.evaluation->divergence) {
        json["kl"] = divergence->kl;
        json["top1"] = divergence->top1;
      }
    }
    if (!after.tasks.empty()) {
      json["tasks_original"] = tasks_json(before.tasks);
      json["tasks"] = tasks_json(after.tasks);
    }
    return json_line(json);
  }

  QuantizeJob quantize_;
  EvalJob eval_;
  const bool compare_;
  const bool json_;
};

std::unique_ptr<Command> make_run(Files& files, const Settings& settings) {
  settings.require({"config"}, "run");
  const std::string path = settings.text_or("config", "");
  Settings quantize = config_settings(files, path, "quantize", quantize_option_groups());
  refuse_in_section(quantize, {"threads", "json", "dry-run"});
  for (const char* name : {"json", "dry-run"}) {
    if (settings.has(name)) quantize.add(name, {settings.text_or(name, ""), settings.origin(name)});
  }
  QuantizeRequest request = read_quantize_request(files, quantize);
  EvalRequest eval = make_eval_request(config_settings(files, path, "eval", eval_option_groups()),
                                       request.options);
  // The reference is for the evaluation of the result, which does not exist yet.
  const bool compare = !std::exchange(eval.reference, "").empty();
  return std::make_unique<RunCommand>(std::move(request), std::move(eval), compare,
                                      settings.is_on("json"));
}

}  // namespace

CommandEntry run_entry() {
  return {.name = "run",
          .summary = "quantize, then evaluate original and result, from one config file",
          .about =
              "Does a whole experiment from a config file: [quantize] holds the options of bitmill "
              "quantize, [eval] those of bitmill eval (without the model), [run] the ones below. "
              "Ends with a table of bits and perplexities.",
          .usage = {"run --config FILE [options]"},
          .example = "bitmill run --config configs/books-2M.cfg",
          .positional = "",
          .options = {{"options",
                       {{"config", "FILE", "", "sections [run], [quantize] and [eval]"},
                        {"dry-run", "", "", "check everything, say what would be done, and stop"},
                        threads_option(),
                        json_option("the result")}}},
          .stops_on_signals = true,
          .watched = true,
          .make = make_run};
}

}  // namespace bitmill
