#include "cli/report/tune_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

// Fewer windows than this say little about which epoch is best.
constexpr int64_t enough_held_out = 4;

std::string format_kl(float divergence) {
  return std::isfinite(divergence) ? fmt::format("{:.4f}", divergence) : "not finite";
}

std::string history_table(const TuningHistory& history) {
  Table table({{"epoch"}, {"KL, training"}, {"KL, held out"}, {"", Table::Align::left}});
  for (size_t epoch = 0; epoch < history.held_out_kl.size(); ++epoch) {
    table.add_row({epoch == 0 ? "as given" : fmt::to_string(epoch),
                   epoch == 0 ? "" : format_kl(history.train_kl[epoch - 1]),
                   format_kl(history.held_out_kl[epoch]),
                   std::cmp_equal(epoch, history.best()) ? "kept" : ""});
  }
  return table.text();
}

std::string kept_epoch(const TuningHistory& history) {
  return history.best() == 0 ? "the model as given" : fmt::format("epoch {}", history.best());
}

std::string describe_divergence(const TuningHistory& history) {
  return fmt::format(
      "epoch {} diverged: a divergence is not finite, or a scale does not fit float16. The tuning "
      "ends with {}; a lower --lr may help",
      history.epochs(), kept_epoch(history));
}

// The smallest number of stages with which every replica has a window of every batch; 0: there is
// none.
int stages_without_idle_ranks(int ranks, int64_t batch, int64_t blocks) {
  const int most = static_cast<int>(std::min<int64_t>(ranks, blocks));
  for (int stages = 1; stages <= most; ++stages) {
    if (ranks % stages == 0 && ranks / stages <= batch) return stages;
  }
  return 0;
}

// Number of ranks that have at least one window of a full batch.
int64_t useful_ranks(const TuneOptions& options, const TuneForecast& forecast) {
  return forecast.mesh.stages * std::min<int64_t>(forecast.mesh.replicas, options.batch);
}

}  // namespace

TuneProgress::TuneProgress(Console& console, Activity& activity, const TuneForecast& forecast,
                           Clock clock)
    : console_(console),
      activity_(activity),
      forecast_(forecast),
      clock_(clock),
      shown_(console, clock) {}

void TuneProgress::phase_begins(const std::string& phase) {
  activity_.set(phase);
  console_.say(phase);
}

void TuneProgress::note(const std::string& sentence) { console_.say("note: " + sentence); }

void TuneProgress::teacher_done(int64_t blocks_done, int64_t blocks) {
  activity_.set(fmt::format("the original's outputs, {} of {} blocks done", blocks_done, blocks));
  if (blocks_done == 0) teacher_.emplace(console_, "the original's outputs", clock_);
  (*teacher_)(blocks_done, blocks);
}

void TuneProgress::training_begins() {
  begin_ = clock_();
  shown_.begin();
}

// The time per step is that of this start; `steps_done` also counts the steps of earlier starts.
std::string TuneProgress::eta(int64_t steps_done, double now) const {
  const double seconds_per_step = (now - begin_) / static_cast<double>(steps_of_start_);
  const int64_t left = forecast_.epochs * forecast_.steps_per_epoch - steps_done;
  return fmt::format("{}/step · ETA {}", format_seconds(seconds_per_step),
                     format_seconds(static_cast<double>(left) * seconds_per_step));
}

void TuneProgress::step_done(int epoch, int64_t step) {
  ++steps_of_start_;
  const std::string where = fmt::format("epoch {}/{} · step {}/{}", epoch + 1, forecast_.epochs,
                                        step + 1, forecast_.steps_per_epoch);
  activity_.set(where);
  shown_.show(shown_.is_due(), [&](double now) {
    return fmt::format("{} · {}", where, eta(epoch * forecast_.steps_per_epoch + step + 1, now));
  });
}

void TuneProgress::epoch_done(const TuningHistory& history, double seconds) {
  if (history.train_kl.empty()) {
    console_.say(fmt::format("as given · held-out KL {}", format_kl(history.held_out_kl.back())));
    return;
  }
  if (history.diverged()) return console_.say(describe_divergence(history));
  const int64_t steps =
      (history.has_ended(forecast_.epochs, forecast_.patience) ? forecast_.epochs
                                                               : history.epochs()) *
      forecast_.steps_per_epoch;
  console_.say(fmt::format("epoch {}/{} · training KL {} · held-out KL {} · {} · {}",
                           history.epochs(), forecast_.epochs, format_kl(history.train_kl.back()),
                           format_kl(history.held_out_kl.back()), format_seconds(seconds),
                           eta(steps, clock_())));
  shown_.begin();
}

std::string what_is_trained(const TuneForecast& forecast) {
  const std::string factors = format_count(forecast.factors) + " factors";
  if (!forecast.parts.signs) return factors;
  const SignGroups& groups = forecast.sign_groups;
  const std::string signs = fmt::format("{} and {} signs", factors, format_count(forecast.latents));
  if (groups.count() == 1) return signs;
  return fmt::format("{} (those of {} at a time)", signs,
                     format_number_of("block", groups.most_in_stage(1)));
}

std::string rate_words(const TuneOptions& options) {
  return options.learn_signs ? fmt::format("{} and {} for signs", options.rate, options.sign_rate)
                             : fmt::to_string(options.rate);
}

std::string of_epochs(const TuneOptions& options, const TuneForecast& forecast) {
  return options.corpus.empty() ? format_number_of("epoch", forecast.epochs)
                                : fmt::format("{}, a portion of the corpus each",
                                              format_number_of("epoch", forecast.epochs));
}

std::string idle_ranks_note(const TuneOptions& options, const TuneForecast& forecast) {
  const int ranks = forecast.mesh.ranks();
  const int64_t idle = ranks - useful_ranks(options, forecast);
  if (idle == 0) return "";
  const int stages = stages_without_idle_ranks(ranks, options.batch, forecast.blocks);
  return fmt::format(
      "note: {} of {} ranks will idle: the {} of a stage share a step's --batch of {}.{} A larger "
      "--batch would use more of them, and changes the result.",
      idle, ranks, format_number_of("rank", forecast.mesh.replicas),
      format_number_of("window", options.batch),
      stages > 0 ? fmt::format(" --stages {} would use all, with the same result.", stages) : "");
}

std::string few_held_out_note(const TuneForecast& forecast) {
  if (forecast.held_out >= enough_held_out) return "";
  return fmt::format(
      "note: only {} held out, and the epoch to keep is chosen on {}; more --samples or a larger "
      "--held-out make this choice more reliable.",
      forecast.held_out == 1 ? "1 window is" : fmt::format("{} windows are", forecast.held_out),
      forecast.held_out == 1 ? "it" : "them");
}

std::string describe_forecast(const TuneOptions& options, const TuneForecast& forecast) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"result", fmt::format("{}: {} of tensors, the bits of {}", options.output_dir,
                                       format_bytes(forecast.packed_bytes), options.model)});
  table.add_row({"work", fmt::format("{} of {} per epoch, at most {}",
                                     format_number_of("step", forecast.steps_per_epoch),
                                     format_number_of("window", options.batch),
                                     of_epochs(options, forecast))});
  if (const int64_t groups = forecast.sign_groups.count(); groups > 1) {
    table.add_row(
        {"signs",
         fmt::format(
             "in {} groups of {} at most, one after the other, about {} "
             "each",
             groups, format_number_of("block", forecast.sign_groups.most_in_stage(1)),
             format_number_of("step", forecast.epochs * forecast.steps_per_epoch / groups))});
  }
  table.add_row({"memory", fmt::format("about {} on the busiest rank",
                                       format_bytes(forecast.peak_memory_bytes))});
  table.add_row({"disk", fmt::format("about {} of state in {}", format_bytes(forecast.state_bytes),
                                     options.work_dir)});
  if (forecast.scratch_bytes > 0) {
    table.add_row({"scratch", fmt::format("{} a rank in {}", format_bytes(forecast.scratch_bytes),
                                          options.scratch_dir)});
  }
  return table.text();
}

nlohmann::ordered_json forecast_json(const TuneOptions& options, const TuneForecast& forecast,
                                     int ranks, int threads) {
  return {{"dry_run", true},
          {"model", options.model},
          {"reference", options.reference},
          {"output_dir", options.output_dir},
          {"work_dir", options.work_dir},
          {"ranks", ranks},
          {"threads", threads},
          {"backend", options.backend},
          {"dtype", std::string(dtype_word(options.dtype))},
          {"useful_ranks", useful_ranks(options, forecast)},
          {"stages", forecast.mesh.stages},
          {"replicas", forecast.mesh.replicas},
          {"blocks", forecast.blocks},
          {"linears", forecast.linears},
          {"factors", forecast.factors},
          {"signs", forecast.latents},
          {"sign_groups", forecast.parts.signs ? forecast.sign_groups.count() : 0},
          {"train_windows", forecast.train},
          {"epochs", forecast.epochs},
          {"corpus_bytes", forecast.corpus_bytes},
          {"held_out_windows", forecast.held_out},
          {"seq_len", forecast.seq_len},
          {"steps_per_epoch", forecast.steps_per_epoch},
          {"packed_bytes", forecast.packed_bytes},
          {"peak_memory_bytes", forecast.peak_memory_bytes},
          {"state_bytes", forecast.state_bytes},
          {"scratch_bytes", forecast.scratch_bytes},
          {"notes", forecast.notes},
          {"fingerprint", nlohmann::ordered_json::parse(forecast.fingerprint_json)}};
}

std::string describe_tuning(const TuneOptions& options, const TuneResult& result,
                            const RunFacts& facts) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  std::string text;
  if (result.already_done) {
    table.add_row(
        {"verified", "the folder already holds the result of exactly this configuration"});
  } else {
    const TuningHistory& history = result.history;
    text = history_table(history) + "\n";
    if (history.diverged()) table.add_row({"ended early", describe_divergence(history)});
    table.add_row(
        {"held-out KL", history.best() == 0
                            ? fmt::format("{:.4f}: no epoch was better, and no tensor is changed",
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
        {"writing state", fmt::format("{:.2f} s; training waited {:.2f} s for it, {:.1f}% of the "
                                      "time",
                                      result.state_seconds, result.state_wait_seconds,
                                      100 * result.state_wait_seconds / facts.seconds)});
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
  json["state_wait_seconds"] = result.state_wait_seconds;
  json["peak_memory_bytes"] = facts.peak_memory_bytes;
  json["planned_memory_bytes"] = facts.planned_memory_bytes;
  json["ranks"] = facts.ranks;
  return json;
}

}  // namespace bitmill
