#include "cli/tune_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/quantity.hpp"
#include "cli/table.hpp"

namespace bitmill {
namespace {

constexpr double seconds_between_updates = 0.1;  // more, nobody can read

std::string history_table(const TuningHistory& history) {
  Table table({{"epoch"}, {"KL, training"}, {"KL, held out"}, {"", Table::Align::left}});
  for (size_t epoch = 0; epoch < history.held_out_kl.size(); ++epoch) {
    table.add_row({epoch == 0 ? "as given" : fmt::to_string(epoch),
                   epoch == 0 ? "" : fmt::format("{:.4f}", history.train_kl[epoch - 1]),
                   fmt::format("{:.4f}", history.held_out_kl[epoch]),
                   std::cmp_equal(epoch, history.best()) ? "kept" : ""});
  }
  return table.text();
}

}  // namespace

TuneProgress::TuneProgress(Console& console, Activity& activity, const TunePlan& plan, int epochs,
                           Clock clock)
    : console_(console), activity_(activity), plan_(plan), epochs_(epochs), clock_(clock) {}

void TuneProgress::stage_begins(const std::string& stage) {
  activity_.set(stage);
  console_.say(stage);
}

void TuneProgress::step_done(int epoch, int64_t step) {
  const std::string line =
      fmt::format("epoch {}/{} · step {}/{}", epoch + 1, epochs_, step + 1, plan_.steps_per_epoch);
  activity_.set(line);
  if (!console_.terminal() || console_.silent()) return;
  const double now = clock_();
  if (now - last_update_ < seconds_between_updates) return;
  last_update_ = now;
  console_.update(line);
}

void TuneProgress::epoch_done(const TuningHistory& history, double seconds) {
  const float held_out = history.held_out_kl.back();
  if (history.train_kl.empty()) {
    console_.say(fmt::format("as given · held-out KL {:.4f}", held_out));
    return;
  }
  const int left = history.has_ended(epochs_) ? 0 : epochs_ - history.epochs();
  console_.say(fmt::format("epoch {}/{} · training KL {:.4f} · held-out KL {:.4f} · {} · ETA {}",
                           history.epochs(), epochs_, history.train_kl.back(), held_out,
                           format_seconds(seconds), format_seconds(left * seconds)));
}

std::string describe_tune_plan(const TuneOptions& options, const TunePlan& plan) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"result", fmt::format("{}: {} of tensors, the bits of {}", options.output_dir,
                                       format_bytes(plan.packed_bytes), options.model)});
  table.add_row({"work", fmt::format("{} of {} per epoch, at most {}",
                                     format_number_of("step", plan.steps_per_epoch),
                                     format_number_of("window", options.batch),
                                     format_number_of("epoch", options.epochs))});
  table.add_row({"memory", fmt::format("about {} on the busiest rank",
                                       format_bytes(plan.peak_memory_bytes))});
  table.add_row({"disk", fmt::format("about {} of state in {}", format_bytes(plan.state_bytes),
                                     options.work_dir)});
  if (plan.scratch_bytes > 0) {
    table.add_row({"scratch", fmt::format("{} a rank in {}", format_bytes(plan.scratch_bytes),
                                          options.scratch_dir)});
  }
  return table.text();
}

nlohmann::ordered_json tune_plan_json(const TuneOptions& options, const TunePlan& plan, int ranks,
                                      int threads) {
  return {{"dry_run", true},
          {"model", options.model},
          {"reference", options.reference},
          {"output_dir", options.output_dir},
          {"work_dir", options.work_dir},
          {"ranks", ranks},
          {"threads", threads},
          {"stages", plan.mesh.stages},
          {"replicas", plan.mesh.replicas},
          {"blocks", plan.blocks},
          {"linears", plan.linears},
          {"factors", plan.factors},
          {"train_windows", plan.train},
          {"held_out_windows", plan.held_out},
          {"seq_len", plan.seq_len},
          {"steps_per_epoch", plan.steps_per_epoch},
          {"packed_bytes", plan.packed_bytes},
          {"peak_memory_bytes", plan.peak_memory_bytes},
          {"state_bytes", plan.state_bytes},
          {"scratch_bytes", plan.scratch_bytes},
          {"fingerprint", nlohmann::ordered_json::parse(plan.fingerprint_json)}};
}

std::string describe_tuning(const TuneOptions& options, const TuneResult& result,
                            const RunFacts& facts) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  std::string text;
  if (result.already_done) {
    table.add_row({"verified", "the folder holds the result of this very configuration already"});
  } else {
    const TuningHistory& history = result.history;
    text = history_table(history) + "\n";
    table.add_row({"held-out KL",
                   history.best() == 0
                       ? fmt::format("{:.4f}: nothing was gained, and every tensor is as given",
                                     history.held_out_kl.front())
                       : fmt::format("{:.4f}, from {:.4f}",
                                     history.held_out_kl[static_cast<size_t>(history.best())],
                                     history.held_out_kl.front())});
  }
  table.add_row({"bits per weight",
                 fmt::format("{:.4f} (packed linears, every stored bit)", result.bits_per_weight)});
  table.add_row({"size", format_bytes(result.packed_bytes)});
  table.add_row({"time", format_seconds(facts.seconds)});
  if (!result.already_done) {
    table.add_row(
        {"writing state", fmt::format("{:.2f} s, {:.1f}% of the time", result.state_seconds,
                                      100 * result.state_seconds / facts.seconds)});
  }
  table.add_row(
      {"peak memory", fmt::format("{}{}, planned {}", format_bytes(facts.peak_memory_bytes),
                                  facts.ranks > 1 ? " (busiest rank)" : "",
                                  format_bytes(facts.planned_memory_bytes))});
  table.add_row({"tuned model", options.output_dir});
  table.add_row({"next", fmt::format("bitmill eval --model {} --corpus FILE --reference {}",
                                     options.output_dir, options.reference)});
  return text + table.text();
}

nlohmann::ordered_json tuning_json(const TuneOptions& options, const TuneResult& result,
                                   const RunFacts& facts) {
  nlohmann::ordered_json json = {{"output_dir", options.output_dir},
                                 {"already_done", result.already_done}};
  if (!result.already_done) {
    const TuningHistory& history = result.history;
    json["epochs"] = history.epochs();
    json["kept_epoch"] = history.best();
    json["kl_before"] = history.held_out_kl.front();
    json["kl_after"] = history.held_out_kl[static_cast<size_t>(history.best())];
    json["training_kl"] = history.train_kl;
    json["held_out_kl"] = history.held_out_kl;
  }
  json["bits_per_weight"] = result.bits_per_weight;
  json["packed_bytes"] = result.packed_bytes;
  json["seconds"] = facts.seconds;
  json["state_seconds"] = result.state_seconds;
  json["peak_memory_bytes"] = facts.peak_memory_bytes;
  json["planned_memory_bytes"] = facts.planned_memory_bytes;
  json["ranks"] = facts.ranks;
  return json;
}

}  // namespace bitmill
