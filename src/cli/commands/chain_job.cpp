#include "cli/commands/chain_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "cli/commands/job_control.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/run_control.hpp"
#include "cli/report/console.hpp"
#include "cli/report/task_report.hpp"
#include "comm/gather.hpp"
#include "format/folder_card.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

constexpr const char* original_name = "original";

// A shared folder may show another host what was renamed only after some seconds.
constexpr std::chrono::seconds patience_with_a_folder(20);

using ChainClock = std::chrono::steady_clock;

double seconds_since(ChainClock::time_point begin) {
  return std::chrono::duration<double>(ChainClock::now() - begin).count();
}

std::optional<ChainClock::time_point> deadline_of(std::optional<double> time_limit_s) {
  if (!time_limit_s) return std::nullopt;
  return ChainClock::now() + std::chrono::duration_cast<ChainClock::duration>(
                                 std::chrono::duration<double>(*time_limit_s));
}

std::string file_of(const std::string& path) { return path.empty() ? "" : file_name(path); }

}  // namespace

// One start, for the functions below.
struct ChainJob::Start {
  RunContext& context;
  RunControl control;
  std::optional<ChainState> state;   // on rank 0
  nlohmann::ordered_json last = {};  // of the last part
  std::vector<ChainRow> rows = {};
  std::string original_hash = {};
};

ChainJob::ChainJob(ChainRequest request)
    : request_(std::move(request)), steps_(make_chain_steps(request_)), eval_(request_.eval) {}

void ChainJob::check(const CheckContext& context) {
  ranks_ = context.ranks;
  threads_ = context.threads;
  least_ = context.least;
  BITMILL_CHECK(!request_.must_go_on || (holds_chain(context.files, request_.work_dir) &&
                                         !read_chain(context.files, request_.work_dir).finished),
                UsageError,
                fmt::format("--resume required: {} holds no unfinished chain", request_.work_dir));
  eval_.check_places(context.files);  // before a calibration is read
  for (const auto& step : steps_) step->check(context);
  eval_.check(context);
  original_ = std::make_unique<SourceModel>(context.files, request_.model, request_.eval.reading);
}

void ChainJob::show_forecast(RunContext& context) {
  nlohmann::ordered_json parts = nlohmann::ordered_json::array();
  int number = 0;
  for (const auto& step : steps_) {
    const std::string heading = fmt::format("part {}: {}", ++number, step->part().name);
    if (steps_.size() > 1) context.console.say("\n" + heading);
    step->compare_ranks(context);
    if (!request_.json) {
      const std::string title = steps_.size() > 1 ? "\n" + heading + "\n" : "";
      context.console.print(title + step->forecast_text());
    } else {
      parts.push_back({{"part", step->part().name}});
      parts.back().update(nlohmann::ordered_json::parse(step->forecast_text()));
    }
  }
  if (!request_.json) {
    context.console.print(
        fmt::format("then the evaluation of {} folders, block by block\n", steps_.size() + 1));
    return;
  }
  // Where quantize is the only part, its own object, as it always was.
  nlohmann::ordered_json json = parts.size() == 1 ? parts.front() : nlohmann::ordered_json();
  json["dry_run"] = true;
  json["chain_dir"] = request_.work_dir;
  json["parts"] = std::move(parts);
  context.console.print(json_line(json));
}

void ChainJob::run(RunContext& context) {
  const auto say = [&](const std::string& text) { context.console.say(text); };
  Start start{context, make_run_control(context.stop, request_.time_limit_s, say), std::nullopt};
  if (context.comm.rank() == 0) {
    start.state.emplace(context.files, request_.work_dir, request_.parts(), start.control, say);
  }
  // A rank may write into the folder only when rank 0 holds it.
  context.comm.barrier();
  const ChainContext chain = chain_context(start);
  context.chain = &chain;
  ChainState* const state = start.state ? &*start.state : nullptr;
  try {
    carry_out(start);
  } catch (const AgreedStop& stop) {
    if (state != nullptr) state->stop(stop.what());
    throw;
  } catch (const ClaimError&) {
    throw;  // the folder now belongs to another process
  } catch (const CommError&) {
    throw;  // a peer is gone: another start may succeed
  } catch (const DeviceLostError&) {
    throw;  // a GPU is gone: the same
  } catch (const std::exception& error) {
    if (state != nullptr) state->fail(error.what());
    throw;
  }
  context.chain = nullptr;
  print_figures(start);
  for (const auto& step : steps_) step->draw(context);
}

ChainContext ChainJob::chain_context(Start& start) const {
  RunContext& context = start.context;
  return {.folder_answers =
              [this, &start, &context] {
                start.state->answer();
                leave_run_note(context.files, request_.work_dir);
              },
          .base_done =
              [this, &start, &context] {
                report_here(context);
                if (start.state) start.state->base_done();
                wait_for_result(context.files, {base_step, request_.preprocess->options.packed, ""},
                                patience_with_a_folder);
              },
          .deadline = deadline_of(request_.time_limit_s)};
}

void ChainJob::report_here(RunContext& context) const {
  context.watch.set_report_path(join_path(request_.work_dir, "trouble.json"));
}

void ChainJob::carry_out(Start& start) {
  for (const auto& step : steps_) {
    carry_out(start, *step);
    wait_for_result(start.context.files, step->part(), patience_with_a_folder);
  }
  measure_all(start);
  if (!start.state) return;
  const ChainRow& result = start.rows.back();
  if (result.figures.evaluation) {
    const Evaluation& after = *result.figures.evaluation;
    nlohmann::json figures = {
        {"text", file_of(request_.eval.corpus)},
        {"windows", after.windows},
        {"seq_len", after.seq_len},
        {"perplexity", after.perplexity},
        {"perplexity_original", start.rows.front().figures.evaluation->perplexity}};
    if (after.divergence) {
      figures["kl"] = after.divergence->kl;
      figures["top1"] = after.divergence->top1;
    }
    record_measured(start.context.files, request_.output_dir, figures);
  }
  start.state->finish();
}

void ChainJob::carry_out(Start& start, ChainStep& step) {
  RunContext& context = start.context;
  const std::string& name = step.part().name;
  if (steps_.size() > 1) context.console.say(fmt::format("\n== {}", name));
  report_here(context);  // until the part's own folder answers
  if (!step.is_checked()) {
    context.activity.set(fmt::format("{}: checking it in full", name));
    step.check({context.files, ranks_, threads_, least_});
  }
  const ChainClock::time_point begin = ChainClock::now();
  try {
    const ChainStep::Outcome outcome = step.run(context);
    start.last = nlohmann::ordered_json::parse(outcome.json);
    if (start.state) {
      start.state->answer();
      start.state->part_done(name, outcome.already_done ? 0 : outcome.seconds);
    }
  } catch (const AgreedStop&) {
    if (start.state) start.state->part_stopped(name, seconds_since(begin));
    throw;
  }
}

void ChainJob::measure_all(Start& start) {
  RunContext& context = start.context;
  report_here(context);
  start.original_hash = combined_hash(
      hash_together(*original_, original_->tensors().names(), context.comm, context.pool));
  StopControl stop(context.comm, start.control.wishes);
  ChainClock::time_point block_began = ChainClock::now();
  eval_.call_between_blocks([&] {
    stop.step_took(seconds_since(block_began));
    if (stop.stop_here()) stop.leave("between two blocks of the evaluation");
    block_began = ChainClock::now();
  });
  start.rows.push_back(measure(start, original_name, request_.model));
  for (const auto& step : steps_) {
    start.rows.push_back(measure(start, step->part().name, step->part().output_dir));
    if (!start.state) continue;
    const auto& seconds = start.state->seconds();
    const auto found = seconds.find(step->part().name);
    if (found != seconds.end()) start.rows.back().seconds = found->second;
  }
  eval_.call_between_blocks([] {});
}

ChainRow ChainJob::measure(Start& start, const std::string& name, const std::string& folder) {
  RunContext& context = start.context;
  const bool is_original = name == original_name;
  ChainRow row = describe_folder(context.files, name, folder);
  // A packed folder is read as bitmill writes it; a merged one has the names of the original.
  const SourceModel model(context.files, folder,
                          row.bits_per_weight ? ModelReading() : request_.eval.reading);
  const std::string weights = is_original
                                  ? start.original_hash
                                  : combined_hash(hash_together(model, model.tensors().names(),
                                                                context.comm, context.pool));
  const std::string what = subject_of(start, model, weights);
  // Only rank 0 knows what earlier starts have measured.
  const std::string kept =
      gather_texts(context.comm, start.state ? start.state->measured(what).value_or("") : "")[0];
  if (!kept.empty()) {
    row.figures = read_figures(kept, "the figures of the chain");
    return row;
  }
  row.figures = eval_.run(context, fmt::format("eval of {}", name), model,
                          request_.compare && !is_original ? original_.get() : nullptr);
  if (start.state) start.state->add_measured(what, keep_figures(row.figures));
  return row;
}

std::string ChainJob::subject_of(const Start& start, const SourceModel& model,
                                 const std::string& weights) const {
  const RunContext& context = start.context;
  const BackendChoice& choice = request_.eval.backend;
  const auto device = make_device(choice.backend, choice.dtype, context.host_rank, context.pool);
  Hasher hasher;
  hasher.add_text(eval_.subject());
  hasher.add_text(numerics_class(choice.backend, *device));
  hasher.add_text(std::to_string(arithmetic_version));
  hasher.add_text(describe_model(model));
  hasher.add_text(weights);
  hasher.add_text(request_.compare ? describe_model(*original_) : "");
  hasher.add_text(request_.compare ? start.original_hash : "");
  // Ranks on other kinds of processors may differ in the last bits: rank 0 decides.
  return gather_texts(context.comm, hasher.hex())[0];
}

void ChainJob::print_figures(Start& start) {
  Console& console = start.context.console;
  if (!request_.json) {
    console.print(chain_table(start.rows));
    return;
  }
  nlohmann::ordered_json json = std::move(start.last);
  const EvalResult &before = start.rows.front().figures, &after = start.rows.back().figures;
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
  json["chain_dir"] = request_.work_dir;
  json["parts"] = chain_rows_json(start.rows);
  console.print(json_line(json));
}

}  // namespace bitmill
