#include "cli/report/preprocess_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {

PreprocessProgress::PreprocessProgress(Console& console, Activity& activity,
                                       const PreprocessForecast& forecast, Clock clock)
    : console_(console),
      activity_(activity),
      forecast_(forecast),
      clock_(clock),
      shown_(console, clock) {}

void PreprocessProgress::phase_begins(const std::string& phase) {
  activity_.set(phase);
  console_.say(phase);
}

void PreprocessProgress::note(const std::string& sentence) { console_.say("note: " + sentence); }

void PreprocessProgress::training_begins(int64_t steps) {
  begin_ = clock_();
  first_ = steps;
  shown_.begin();
}

std::string PreprocessProgress::pace(int64_t steps_done, double now) const {
  const double seconds = std::max(now - begin_, 1e-9);
  const double left = static_cast<double>(forecast_.steps - steps_done) * seconds /
                      static_cast<double>(steps_done - first_);
  return fmt::format("{:.0f} tokens/s · ETA {}", static_cast<double>(tokens_) / seconds,
                     format_seconds(left));
}

void PreprocessProgress::step_done(const Step& step) {
  tokens_ += step.tokens;
  const std::string where = fmt::format("step {}/{}", step.done, forecast_.steps);
  activity_.set(where);
  shown_.show(shown_.is_due(), [&](double now) {
    return fmt::format("{} · loss {:.4f} · held-out {:.4f} · {}", where, step.loss, held_out_,
                       pace(step.done, now));
  });
}

void PreprocessProgress::measured(const PreprocessHistory& history, int64_t steps) {
  held_out_ = history.held_out.back();
  if (history.train.empty()) {
    console_.say(fmt::format("the packed base · held-out loss {:.4f}", held_out_));
    return;
  }
  console_.say(fmt::format("step {}/{} · loss {:.4f} · held-out {:.4f} · {}", steps,
                           forecast_.steps, history.train.back(), held_out_,
                           steps > first_ ? pace(steps, clock_()) : "from an earlier start"));
  shown_.begin();
}

std::string idle_ranks_note(const PreprocessOptions& options, const PreprocessForecast& forecast) {
  const int64_t idle =
      forecast.mesh.stages * std::max<int64_t>(0, forecast.mesh.replicas - options.batch);
  if (idle == 0) return "";
  return fmt::format(
      "note: {} of {} ranks will idle: the {} of a stage share a step's --batch of {}. More "
      "--stages use more of them, with the same result; a larger --batch does, too, and changes "
      "it.",
      idle, forecast.mesh.ranks(), format_number_of("rank", forecast.mesh.replicas),
      format_number_of("sequence", options.batch));
}

namespace {

// What each part of the memory is.
std::vector<std::pair<const char*, int64_t>> memory_parts(const PreprocessMemory& memory) {
  return {{"libraries", memory.libraries},          {"packed blocks", memory.packed},
          {"weights of one block", memory.block},   {"heads", memory.heads},
          {"passes through them", memory.passes},   {"activations between blocks", memory.streams},
          {"adapters and moments", memory.adapters}};
}

nlohmann::ordered_json memory_json(const PreprocessMemory& memory) {
  return {{"libraries", memory.libraries}, {"packed", memory.packed}, {"block", memory.block},
          {"heads", memory.heads},         {"passes", memory.passes}, {"streams", memory.streams},
          {"adapters", memory.adapters}};
}

// Where only a model's shape is known, folders are not.
std::string in_folder(const std::string& folder) {
  return folder.empty() ? "" : fmt::format(" in {}", folder);
}

}  // namespace

std::string describe_forecast(const PreprocessOptions& options,
                              const PreprocessForecast& forecast) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"result", fmt::format("{} of tensors{}", format_bytes(forecast.result_bytes),
                                       in_folder(options.output_dir))});
  table.add_row(
      {"work", fmt::format("{} of {} of up to {}", format_number_of("step", forecast.steps),
                           format_number_of("sequence", options.batch),
                           format_number_of("token", forecast.seq_len))});
  table.add_row({"mesh", fmt::format("{} x {}", format_number_of("stage", forecast.mesh.stages),
                                     format_number_of("replica", forecast.mesh.replicas))});
  table.add_row({"memory", fmt::format("about {} on the busiest rank:",
                                       format_bytes(forecast.peak_memory_bytes))});
  for (const auto& [name, bytes] : memory_parts(forecast.memory)) {
    table.add_row({"", fmt::format("{} {}", format_bytes(bytes), name)});
  }
  table.add_row({"disk", fmt::format("about {} of state{}", format_bytes(forecast.state_bytes),
                                     in_folder(options.work_dir))});
  if (!options.corpus_dir.empty()) {
    table.add_row({"corpus", fmt::format("about {} of index and unpacked texts in {}",
                                         format_bytes(forecast.corpus_bytes), options.corpus_dir)});
  }
  if (forecast.scratch_bytes > 0) {
    table.add_row({"scratch", fmt::format("{} a rank{}", format_bytes(forecast.scratch_bytes),
                                          in_folder(options.scratch_dir))});
  }
  return table.text();
}

nlohmann::ordered_json forecast_json(const PreprocessOptions& options,
                                     const PreprocessForecast& forecast, int ranks, int threads) {
  return {{"dry_run", true},
          {"model", options.model},
          {"packed", options.packed},
          {"output_dir", options.output_dir},
          {"work_dir", options.work_dir},
          {"ranks", ranks},
          {"threads", threads},
          {"backend", options.backend},
          {"dtype", std::string(dtype_word(options.dtype))},
          {"stages", forecast.mesh.stages},
          {"replicas", forecast.mesh.replicas},
          {"blocks", forecast.blocks},
          {"adapters", forecast.adapters},
          {"values", forecast.values},
          {"steps", forecast.steps},
          {"warmup_steps", forecast.warmup_steps},
          {"batch", options.batch},
          {"seq_len", forecast.seq_len},
          {"result_bytes", forecast.result_bytes},
          {"peak_memory_bytes", forecast.peak_memory_bytes},
          {"memory", memory_json(forecast.memory)},
          {"state_bytes", forecast.state_bytes},
          {"scratch_bytes", forecast.scratch_bytes},
          {"corpus_bytes", forecast.corpus_bytes},
          {"notes", forecast.notes},
          {"fingerprint", nlohmann::ordered_json::parse(forecast.fingerprint_json)}};
}

std::string describe_preprocess(const PreprocessOptions& options,
                                const PreprocessForecast& forecast, const PreprocessResult& result,
                                const RunFacts& facts) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  if (result.already_done) {
    table.add_row(
        {"verified", "the folder already holds the result of exactly this configuration"});
  } else {
    table.add_row({"steps", fmt::format("{}", forecast.steps)});
    table.add_row({"training loss", fmt::format("{:.4f} nats per token, over the last steps",
                                                result.history.train.back())});
    table.add_row({"held-out loss",
                   fmt::format("{:.4f}, from {:.4f} of the packed base",
                               result.history.held_out.back(), result.history.held_out.front())});
  }
  table.add_row({"size", format_bytes(result.result_bytes)});
  table.add_row({"time", format_seconds(facts.seconds)});
  table.add_row(
      {"peak memory", fmt::format("{}{}, planned {}", format_bytes(facts.peak_memory_bytes),
                                  facts.ranks > 1 ? " (busiest rank)" : "",
                                  format_bytes(facts.planned_memory_bytes))});
  table.add_row({"merged model", options.output_dir});
  table.add_row({"next", fmt::format("bitmill quantize --model {} --output-dir DIR --calib FILE",
                                     options.output_dir)});
  return table.text();
}

nlohmann::ordered_json preprocess_json(const PreprocessOptions& options,
                                       const PreprocessForecast& forecast,
                                       const PreprocessResult& result, const RunFacts& facts) {
  nlohmann::ordered_json json = {{"output_dir", options.output_dir},
                                 {"packed", options.packed},
                                 {"already_done", result.already_done},
                                 {"steps", forecast.steps}};
  if (!result.already_done) {
    json["loss"] = result.history.train.back();
    json["held_out"] = result.history.held_out.back();
    json["held_out_before"] = result.history.held_out.front();
    json["losses"] = result.history.train;
    json["held_out_losses"] = result.history.held_out;
  }
  json["seconds"] = facts.seconds;
  json["state_seconds"] = result.state_seconds;
  json["result_bytes"] = result.result_bytes;
  json["peak_memory_bytes"] = facts.peak_memory_bytes;
  json["planned_memory_bytes"] = facts.planned_memory_bytes;
  json["ranks"] = facts.ranks;
  return json;
}

}  // namespace bitmill
