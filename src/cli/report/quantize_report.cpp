#include "cli/report/quantize_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/report/quantity.hpp"
#include "cli/report/resume_words.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

Table pairs_table() { return Table({{"", Table::Align::left}, {"", Table::Align::left}}); }

// An earlier start may have seen it.
std::string format_loss(double loss) {
  return std::isnan(loss) ? "-" : fmt::format("{:.4g}", loss);
}

// The differences from the published method, each with a comma before it.
std::string describe_extras(const QuantizeOptions& options) {
  const MethodSettings& method = options.method;
  std::string text;
  const auto add = [&](bool there, const std::string& words) {
    if (there) text += ", " + words;
  };
  if (options.shuffle_seed) {
    text += fmt::format(", windows shuffled by seed {}", *options.shuffle_seed);
  }
  add(options.window_bos != WindowBos::off,
      fmt::format("BOS in every window: {}", word_of(options.window_bos)));
  add(method.learned.signs, fmt::format("signs learned at {:g}{}", method.lr_sign,
                                        options.half_latents ? ", their state in 16 bit" : ""));
  add(method.learned.row_means, fmt::format("means learned at {:g}", method.lr_mean));
  add(method.learned.code_scales,
      fmt::format("4-bit scales learned at {:g}", method.lr_code_scale));
  add(method.schedule == RateSchedule::cosine, "cosine rates");
  add(method.int4_clip, "clipped");
  add(method.center, "centred");
  add(method.init == Init::descent, "coordinate descent first");
  add(method.loss.error == ErrorKind::relative, "relative error");
  add(options.stream_dtype != Dtype::float32,
      fmt::format("streams in {}", dtype_word(options.stream_dtype)));
  add(method.loss.normal != 1 || method.loss.homologous != 1,
      fmt::format("targets {:g} and {:g}", method.loss.normal, method.loss.homologous));
  return text;
}

bool is_bad(const BlockReport& block) { return !(block.cosine >= bad_block_cosine); }

// Why there are not more replicas. Empty when the idle ranks are too few to give every stage one
// more.
std::string why_no_more_replicas(const QuantizeOptions& options, const Mesh& mesh, int ranks) {
  if (mesh.replicas >= options.batch) {
    return fmt::format("a step is shared by as many ranks as its batch ({})", options.batch);
  }
  if (mesh.stages * (mesh.replicas + 1) > ranks) return "";
  return "more replicas would not be sooner, or not fit the memory";
}

// Why there are not more stages. Empty when the idle ranks are too few for another stage.
std::string why_no_more_stages(const QuantizeForecast& forecast, const MeshFacts& facts) {
  const int stages = forecast.mesh.stages, turns = std::max(1, forecast.turns);
  if (facts.given_stages > 0 && stages < turns && stages < forecast.blocks) {
    return fmt::format("the depth is shared by the stages that were given (--stages {})", stages);
  }
  if (stages >= turns) {
    return fmt::format("the depth is shared by as many stages as a block has turns ({})", turns);
  }
  if (stages >= forecast.blocks) {
    return fmt::format("the depth is shared by as many stages as there are blocks ({})",
                       forecast.blocks);
  }
  if ((stages + 1) * forecast.mesh.replicas > facts.ranks) return "";
  return "more stages would not be sooner, or not fit the memory";
}

std::string what_binds(const QuantizeOptions& options, const QuantizeForecast& forecast,
                       const MeshFacts& facts) {
  std::vector<std::string> reasons = {why_no_more_replicas(options, forecast.mesh, facts.ranks),
                                      why_no_more_stages(forecast, facts)};
  std::erase(reasons, "");
  if (reasons.empty()) return "they are too few for another stage or replica";
  return fmt::format("{}", fmt::join(reasons, ", and "));
}

// Changes that would give the idle ranks work, and would also change the result.
std::vector<std::string> ways_out(const QuantizeOptions& options, const QuantizeForecast& forecast,
                                  const MeshFacts& facts) {
  std::vector<std::string> ways;
  const int64_t batch = std::min<int64_t>(forecast.samples, facts.ranks / forecast.mesh.stages);
  if (forecast.mesh.replicas >= options.batch && batch > options.batch) {
    ways.push_back(
        fmt::format("--batch {} would give {} ranks work", batch, batch * forecast.mesh.stages));
  }
  if (facts.sooner) {
    ways.push_back(
        fmt::format("recipe {} would take about {} less: {} on {} of {} ranks", facts.sooner->name,
                    format_seconds(facts.makespan_s - facts.sooner->makespan_s),
                    format_seconds(facts.sooner->makespan_s), facts.sooner->ranks, facts.ranks));
  }
  return ways;
}

// The bytes of live blocks in the run folder, and what was planned.
std::string describe_state(const QuantizeResult& result) {
  return fmt::format("{} a block, planned {}; {} written in all", format_bytes(result.state_bytes),
                     format_bytes(result.planned_state_bytes),
                     format_bytes(result.state_bytes_written));
}

}  // namespace

std::string describe_settings(const QuantizeOptions& options, const QuantizeForecast& forecast) {
  const MethodSettings& method = options.method;
  return fmt::format(
      "recipe {}: {} windows of {} tokens, {} epochs, batch {}, lag {}, rates {:g} and {:g}, "
      "salient ratio {} by {}, 4-bit range {}, seed {}{}",
      options.recipe, forecast.samples, forecast.seq_len, options.epochs, options.batch,
      options.epochs / std::max(1, forecast.turns), method.lr_scale, method.lr_gain,
      method.salient_ratio.text(), word_of(method.saliency), word_of(method.int4_range),
      options.seed, describe_extras(options));
}

std::string describe_forecast(const QuantizeOptions& options, const QuantizeForecast& forecast,
                              int ranks, int threads) {
  Table table = pairs_table();
  table.add_row({"model", fmt::format("{}: {} parameters, {} of tensors", options.model,
                                      format_count(forecast.parameters),
                                      format_bytes(forecast.source_bytes))});
  table.add_row(
      {"packed", fmt::format("{} linears in {} blocks, {} weights at {:.4f} bits each",
                             forecast.linears, forecast.blocks,
                             format_count(forecast.linear_weights), forecast.bits_per_weight)});
  table.add_row({"result", fmt::format("{}: {} of tensors", options.output_dir,
                                       format_bytes(forecast.packed_bytes))});
  table.add_row({"settings", describe_settings(options, forecast)});
  table.add_row({"calibration", fmt::format("{}: {} tokens", options.calib,
                                            format_count(forecast.calibration_tokens))});
  table.add_row({"work", fmt::format("{} per epoch, {} per block",
                                     format_number_of("step", forecast.steps_per_epoch),
                                     format_number_of("turn", forecast.turns))});
  table.add_row({"ranks", fmt::format("{} ({} of them useful) with {} each, backend {}", ranks,
                                      forecast.mesh.ranks(), format_number_of("thread", threads),
                                      options.backend)});
  table.add_row({"memory", fmt::format("about {} on the busiest rank",
                                       format_bytes(forecast.peak_memory_bytes))});
  if (forecast.device_block_bytes > 0) {
    table.add_row(
        {"GPU memory",
         fmt::format("about {} on the busiest rank's GPU: {} of a block ({} of it temporary "
                     "memory of attention), the rest streams",
                     format_bytes(forecast.device_peak_bytes),
                     format_bytes(forecast.device_block_bytes),
                     format_bytes(forecast.device_attention_bytes))});
  }
  table.add_row({"streams", fmt::format("{} on the busiest rank, in memory or {}",
                                        format_bytes(forecast.stream_bytes), options.scratch_dir)});
  table.add_row({"disk", fmt::format("{} with the work folder {}",
                                     format_bytes(forecast.disk_bytes), options.work_dir)});
  if (forecast.state_bytes > 0) {
    table.add_row({"", fmt::format("of it up to {} of state while blocks are live",
                                   format_bytes(forecast.state_bytes))});
  }
  table.add_row({"saving", saving_words(forecast.save_beside)});
  table.add_row(
      {"going on", going_on_words(options.resume_costs, /*keeps=*/forecast.kept_bytes > 0)});
  return table.text();
}

nlohmann::ordered_json forecast_json(const QuantizeOptions& options,
                                     const QuantizeForecast& forecast, int ranks, int threads) {
  nlohmann::ordered_json json = {
      {"dry_run", true},
      {"model", options.model},
      {"output_dir", options.output_dir},
      {"work_dir", options.work_dir},
      {"recipe", options.recipe},
      {"backend", options.backend},
      {"ranks", ranks},
      {"threads", threads},
      {"useful_ranks", forecast.mesh.ranks()},
      {"stages", forecast.mesh.stages},
      {"replicas", forecast.mesh.replicas},
      {"blocks", forecast.blocks},
      {"linears", forecast.linears},
      {"linear_weights", forecast.linear_weights},
      {"parameters", forecast.parameters},
      {"source_bytes", forecast.source_bytes},
      {"packed_bytes", forecast.packed_bytes},
      {"bits_per_weight", forecast.bits_per_weight},
      {"calibration_tokens", forecast.calibration_tokens},
      {"samples", forecast.samples},
      {"seq_len", forecast.seq_len},
      {"steps_per_epoch", forecast.steps_per_epoch},
      {"turns", forecast.turns},
      {"stream_bytes", forecast.stream_bytes},
      {"peak_memory_bytes", forecast.peak_memory_bytes},
      {"device_peak_bytes", forecast.device_peak_bytes},
      {"device_block_bytes", forecast.device_block_bytes},
      {"device_attention_bytes", forecast.device_attention_bytes},
      {"state_bytes", forecast.state_bytes},
      {"save_beside", forecast.save_beside},
      {"replay_block_s", options.resume_costs.replay_s},
      {"kept_stream_bytes", forecast.kept_bytes},
      {"kept_from_block", forecast.kept_from_block},
      {"disk_bytes", forecast.disk_bytes},
      {"notes", forecast.notes},
      {"fingerprint", nlohmann::ordered_json::parse(forecast.fingerprint_json)}};
  return json;
}

std::string mesh_line(const QuantizeOptions& options, const QuantizeForecast& forecast,
                      const MeshFacts& facts) {
  const Mesh& mesh = forecast.mesh;
  std::string line =
      fmt::format("mesh: {} of {}, {}; forecast {}", format_number_of("stage", mesh.stages),
                  format_number_of("replica", mesh.replicas), word_of(forecast.walk),
                  format_seconds(facts.makespan_s));
  const int idle = facts.ranks - mesh.ranks();
  if (idle <= 0) return line;
  line += fmt::format("; {} of {} ranks will idle ({}): {}", idle, facts.ranks,
                      idle == 1 ? fmt::to_string(mesh.ranks())
                                : fmt::format("{} to {}", mesh.ranks(), facts.ranks - 1),
                      what_binds(options, forecast, facts));
  const std::vector<std::string> advice = ways_out(options, forecast, facts);
  if (advice.empty()) return line;
  return line + fmt::format("; {}; {} the result", fmt::join(advice, "; "),
                            advice.size() == 1 ? "that changes" : "both change");
}

std::string quality_table(const std::vector<BlockReport>& blocks) {
  if (blocks.empty()) return "";
  Table table({{"block"},
               {"first loss"},
               {"last loss"},
               {"cosine"},
               {"relative error"},
               {"bits/weight"},
               {"", Table::Align::left}});
  for (const BlockReport& block : blocks) {
    table.add_row({fmt::format("{}", block.block), format_loss(block.first_loss),
                   format_loss(block.last_loss), fmt::format("{:.4f}", block.cosine),
                   fmt::format("{:.4f}", block.relative_error),
                   fmt::format("{:.4f}", block.bits_per_weight), is_bad(block) ? "!" : ""});
  }
  std::string text = table.text();
  const auto bad = std::ranges::count_if(blocks, is_bad);
  if (bad > 0) {
    text += fmt::format(
        "! the output of {} of {} blocks is far from that of the original (cosine below {}); try "
        "more --samples, more --epochs, or --saliency mean\n",
        bad, blocks.size(), bad_block_cosine);
  }
  return text;
}

std::string describe_result(const QuantizeOptions& options, const QuantizeResult& result,
                            const RunFacts& facts) {
  Table table = pairs_table();
  if (result.already_done) {
    table.add_row(
        {"verified", "the folder already holds the result of exactly this configuration"});
  }
  table.add_row({"bits per weight",
                 fmt::format("{:.4f} (packed linears, every stored bit)", result.bits_per_weight)});
  table.add_row({"bits per parameter", fmt::format("{:.4f} (whole file, embeddings and all)",
                                                   result.bits_per_parameter)});
  table.add_row({"size", fmt::format("{}, from {}", format_bytes(result.packed_bytes),
                                     format_bytes(result.source_bytes))});
  table.add_row({"time", format_seconds(facts.seconds)});
  if (!result.already_done) {
    table.add_row(
        {"writing state", fmt::format("{:.2f} s; training waited {:.2f} s for it, {:.1f}% of the "
                                      "time",
                                      result.state_seconds, result.state_wait_seconds,
                                      100 * result.state_wait_seconds / facts.seconds)});
  }
  if (result.state_bytes > 0) table.add_row({"state on disk", describe_state(result)});
  table.add_row(
      {"peak memory", fmt::format("{}{}, planned {}", format_bytes(facts.peak_memory_bytes),
                                  facts.ranks > 1 ? " (busiest rank)" : "",
                                  format_bytes(facts.planned_memory_bytes))});
  if (result.planned_device_bytes > 0) {
    table.add_row({"peak GPU memory", fmt::format("{} of tensors{}, planned {}",
                                                  format_bytes(result.device_peak_bytes),
                                                  facts.ranks > 1 ? " (busiest rank)" : "",
                                                  format_bytes(result.planned_device_bytes))});
  }
  table.add_row({"packed model", options.output_dir});
  table.add_row({"next", fmt::format("bitmill eval --model {} --corpus FILE --reference {}",
                                     options.output_dir, options.model)});
  return table.text();
}

nlohmann::ordered_json result_json(const QuantizeOptions& options, const QuantizeResult& result,
                                   const RunFacts& facts) {
  nlohmann::ordered_json blocks = nlohmann::ordered_json::array();
  for (const BlockReport& block : result.blocks) {
    blocks.push_back({{"block", block.block},
                      {"first_loss", block.first_loss},
                      {"last_loss", block.last_loss},
                      {"cosine", block.cosine},
                      {"relative_error", block.relative_error},
                      {"bits_per_weight", block.bits_per_weight},
                      {"bad", is_bad(block)}});
  }
  nlohmann::ordered_json json = {{"output_dir", options.output_dir},
                                 {"recipe", options.recipe},
                                 {"already_done", result.already_done},
                                 {"bits_per_weight", result.bits_per_weight},
                                 {"bits_per_parameter", result.bits_per_parameter},
                                 {"source_bytes", result.source_bytes},
                                 {"packed_bytes", result.packed_bytes},
                                 {"seconds", facts.seconds},
                                 {"state_seconds", result.state_seconds},
                                 {"state_wait_seconds", result.state_wait_seconds},
                                 {"state_bytes", result.state_bytes},
                                 {"planned_state_bytes", result.planned_state_bytes},
                                 {"state_bytes_written", result.state_bytes_written},
                                 {"peak_memory_bytes", facts.peak_memory_bytes},
                                 {"planned_memory_bytes", facts.planned_memory_bytes},
                                 {"device_peak_bytes", result.device_peak_bytes},
                                 {"planned_device_bytes", result.planned_device_bytes},
                                 {"ranks", facts.ranks},
                                 {"blocks", blocks}};
  return json;
}

}  // namespace bitmill
