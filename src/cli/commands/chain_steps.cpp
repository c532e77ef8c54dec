#include "cli/commands/chain_steps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "cli/commands/preprocess_job.hpp"
#include "cli/commands/quantize_job.hpp"
#include "cli/commands/tune_job.hpp"
#include "cli/report/preprocess_report.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "cli/report/tune_report.hpp"

namespace bitmill {
namespace {

class PreprocessStep : public ChainStep {
 public:
  PreprocessStep(ChainPart part, PreprocessRequest request)
      : ChainStep(std::move(part)), request_(std::move(request)) {}

  void compare_ranks(RunContext& context) override { job_->compare_ranks(context); }
  std::string forecast_text() const override {
    return request_.json
               ? job_->dry_run_text()
               : job_->dry_run_text() +
                     "time: not known before its first steps; then bitmill status says it\n";
  }
  Outcome run(RunContext& context) override {
    const PreprocessJob::Outcome done = job_->run(context);
    Outcome outcome = {
        json_line(preprocess_json(job_->options(), job_->forecast(), done.result, done.facts)),
        done.result.already_done, done.facts.seconds};
    job_.reset();
    return outcome;
  }

 protected:
  const std::string& input() const override { return request_.options.model; }
  void check_all(const CheckContext& context) override {
    job_.emplace(request_);
    job_->check(context);
  }
  // Nothing stands before it: what is missing is an error.
  void check_ahead(const CheckContext& context) override { check_all(context); }

 private:
  const PreprocessRequest request_;
  std::optional<PreprocessJob> job_;
};

class QuantizeStep : public ChainStep {
 public:
  // `original`: what a model that is made first will look like, but for its weights.
  QuantizeStep(ChainPart part, QuantizeRequest request, std::string original)
      : ChainStep(std::move(part)), request_(std::move(request)), original_(std::move(original)) {}

  void compare_ranks(RunContext& context) override {
    job_->compare_ranks(context);
    context.console.say(job_->mesh_text());
    job_->say_notes(context.console);
  }
  std::string forecast_text() const override { return job_->dry_run_text(); }
  Outcome run(RunContext& context) override {
    const QuantizeJob::Outcome done = job_->run(context);
    Outcome outcome = {json_line(result_json(job_->options(), done.result, done.facts)),
                       done.result.already_done, done.facts.seconds};
    if (!request_.pictures.any()) job_.reset();
    return outcome;
  }
  void draw(RunContext& context) override {
    if (job_) job_->draw(context);
  }

 protected:
  const std::string& input() const override { return request_.options.model; }
  void check_all(const CheckContext& context) override {
    job_.emplace(request_);
    job_->check(context);
  }
  // The merged model has the shapes, the types and the tokenizer of the original.
  void check_ahead(const CheckContext& context) override {
    QuantizeRequest request = request_;
    request.options.model = original_;
    job_.emplace(std::move(request));
    job_->check(context);
  }

 private:
  const QuantizeRequest request_;
  const std::string original_;
  std::optional<QuantizeJob> job_;
};

class TuneStep : public ChainStep {
 public:
  TuneStep(ChainPart part, TuneRequest request)
      : ChainStep(std::move(part)), request_(std::move(request)) {}

  void compare_ranks(RunContext& context) override {
    if (job_) job_->compare_ranks(context);
  }
  std::string forecast_text() const override {
    if (!job_) return request_.json ? ahead_json() : ahead_table();
    return request_.json
               ? job_->dry_run_text()
               : job_->dry_run_text() +
                     "time: not known before its first steps; then bitmill status says it\n";
  }
  Outcome run(RunContext& context) override {
    const TuneJob::Outcome done = job_->run(context);
    Outcome outcome = {json_line(tuning_json(job_->options(), done.result, done.facts)),
                       done.result.already_done, done.facts.seconds};
    job_.reset();
    return outcome;
  }

 protected:
  const std::string& input() const override { return request_.options.model; }
  void check_all(const CheckContext& context) override {
    job_.emplace(request_);
    job_->check(context);
  }
  void check_ahead(const CheckContext& context) override {
    ahead_ = check_before_packed(request_.options, context.files, context.ranks);
  }

 private:
  std::string ahead_table() const {
    const TuneOptions& options = request_.options;
    Table table({{"", Table::Align::left}, {"", Table::Align::left}});
    table.add_row({"result", fmt::format("{}: as many bytes as {}, which is not there yet",
                                         options.output_dir, options.model)});
    table.add_row({"work", fmt::format("{} of {} per epoch, at most {}; {} held out",
                                       format_number_of("step", ahead_.steps_per_epoch),
                                       format_number_of("window", options.batch),
                                       format_number_of("epoch", ahead_.epochs),
                                       format_number_of("window", ahead_.held_out))});
    if (ahead_.corpus_bytes > 0) {
      table.add_row({"corpus", fmt::format("about {} of index and unpacked texts in {}",
                                           format_bytes(ahead_.corpus_bytes), options.corpus_dir)});
    }
    table.add_row(
        {"not known", fmt::format("memory, state and time, before {} is there", options.model)});
    return table.text();
  }
  std::string ahead_json() const {
    const TuneOptions& options = request_.options;
    return json_line({{"dry_run", true},
                      {"model", options.model},
                      {"reference", options.reference},
                      {"output_dir", options.output_dir},
                      {"work_dir", options.work_dir},
                      {"stages", ahead_.mesh.stages},
                      {"replicas", ahead_.mesh.replicas},
                      {"blocks", ahead_.blocks},
                      {"train_windows", ahead_.train},
                      {"held_out_windows", ahead_.held_out},
                      {"seq_len", ahead_.seq_len},
                      {"epochs", ahead_.epochs},
                      {"steps_per_epoch", ahead_.steps_per_epoch},
                      {"corpus_bytes", ahead_.corpus_bytes},
                      {"packed_bytes", nullptr},
                      {"peak_memory_bytes", nullptr},
                      {"state_bytes", nullptr}});
  }

  const TuneRequest request_;
  std::optional<TuneJob> job_;
  TuneForecast ahead_;  // before there is a packed model
};

}  // namespace

void ChainStep::check(const CheckContext& context) {
  if (context.files.exists(join_path(input(), "config.json"))) {
    check_all(context);
    checked_ = true;
    return;
  }
  const std::string& output = part_.output_dir;
  BITMILL_CHECK(
      !context.files.is_directory(output) || context.files.list(output).empty(), UsageError,
      fmt::format("{} holds something, and {}, which would tell whether it is the result of [{}], "
                  "does not exist; choose another --output-dir, or remove it",
                  output, input(), part_.name));
  check_ahead(context);
}

void wait_for_result(Files& files, const ChainPart& part, std::chrono::milliseconds patience) {
  const std::string config = join_path(part.output_dir, "config.json");
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!files.exists(config)) {
    BITMILL_CHECK(std::chrono::steady_clock::now() < end, FileError,
                  fmt::format("{}, made by [{}], is not visible on this host; is it on the same "
                              "shared folder here as on the host of rank 0?",
                              part.output_dir, part.name));
    std::this_thread::sleep_for(std::min(patience, std::chrono::milliseconds(250)));
    // Listing makes NFS ask its server again, where it remembers that a name was not there.
    const std::string around = parent_path(part.output_dir);
    if (files.is_directory(around)) files.list(around);
  }
}

std::vector<std::unique_ptr<ChainStep>> make_chain_steps(const ChainRequest& request) {
  std::vector<std::unique_ptr<ChainStep>> steps;
  const std::vector<ChainPart> parts = request.parts();
  if (request.preprocess) {
    steps.push_back(std::make_unique<PreprocessStep>(parts[steps.size()], *request.preprocess));
  }
  steps.push_back(
      std::make_unique<QuantizeStep>(parts[steps.size()], request.quantize, request.model));
  if (request.tune) {
    steps.push_back(std::make_unique<TuneStep>(parts[steps.size()], *request.tune));
  }
  return steps;
}

}  // namespace bitmill
