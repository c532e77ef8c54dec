#include "cli/report/plan_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/report/quantity.hpp"
#include "cli/report/resume_words.hpp"
#include "cli/report/table.hpp"
#include "schedule/resume.hpp"

namespace bitmill {
namespace {

bool has_own_host(const PlanRequest& request) { return request.machine.own_device(); }

// The largest value of every figure over ranks [first, first + count), except busy_s.
RankForecast most_of(const Forecast& forecast, int first, int count) {
  RankForecast most;
  most.rank = first;
  for (int rank = first; rank < first + count; ++rank) {
    const RankForecast& one = forecast.ranks[static_cast<size_t>(rank)];
    most.peak_bytes = std::max(most.peak_bytes, one.peak_bytes);
    most.host_bytes = std::max(most.host_bytes, one.host_bytes);
    most.device_stream_bytes = std::max(most.device_stream_bytes, one.device_stream_bytes);
    most.scratch_bytes = std::max(most.scratch_bytes, one.scratch_bytes);
    most.sent_bytes = std::max(most.sent_bytes, one.sent_bytes);
    most.exchanged_bytes = std::max(most.exchanged_bytes, one.exchanged_bytes);
  }
  return most;
}

RankForecast most_of_stage(const Forecast& forecast, int stage) {
  return most_of(forecast, forecast.mesh.rank_of(stage, 0), forecast.mesh.replicas);
}

// The largest figures of all ranks; memory is the figure that is compared with the limit.
RankForecast most_of_all(const Forecast& forecast) {
  RankForecast most = most_of(forecast, 0, forecast.mesh.ranks());
  most.peak_bytes = forecast.peak_bytes();
  most.host_bytes = forecast.host_bytes();
  return most;
}

ResumeCosts going_on_costs(const PlanRequest& request, const Forecast& forecast) {
  return resume_costs(request.work, request.machine, forecast.mesh, forecast.plan.band);
}

bool stop_keeps_streams(const PlanRequest& request, const Forecast& forecast) {
  return going_on_costs(request, forecast).keeps(forecast.plan.blocks - 1);
}

int64_t kept_stream_bytes(const PlanRequest& request, const Forecast& forecast) {
  if (!stop_keeps_streams(request, forecast)) return 0;
  return going_on_costs(request, forecast).streams_bytes;
}

int64_t state_bytes(const PlanRequest& request, const Forecast& forecast) {
  return live_files(forecast.plan) * request.work.state_bytes;
}

// The size of the run folder: packed linears of every turn, and the files of live blocks.
int64_t disk_bytes(const PlanRequest& request, const Forecast& forecast) {
  const Workload& work = request.work;
  return int64_t{forecast.plan.turns()} * work.blocks * work.packed_bytes +
         state_bytes(request, forecast) + kept_stream_bytes(request, forecast);
}

int64_t result_bytes(const Workload& work) {
  return work.kept_bytes + work.blocks * work.packed_bytes;
}

double seconds_of_actions(const Plan& plan, const PlanCosts& costs) {
  double seconds = 0;
  for (const std::vector<Action>& actions : plan.stages) {
    for (const Action& action : actions) seconds += action_seconds(plan, costs, action);
  }
  return seconds;
}

void add_run_rows(const PlanRequest& request, const Forecast& forecast, Table& table) {
  const Workload& work = request.work;
  table.add_row(
      {"mesh",
       fmt::format("{} x {} = {} of {}, {}", format_number_of("stage", forecast.mesh.stages),
                   format_number_of("replica", forecast.mesh.replicas), forecast.mesh.ranks(),
                   format_number_of("rank", request.ranks), word_of(forecast.walk))});
  table.add_row({"work", fmt::format("{}, {} epochs in {}, batch {}, {} samples of {} tokens",
                                     format_number_of("block", work.blocks), work.epochs,
                                     format_number_of("turn", work.epochs / work.lag), work.batch,
                                     work.samples, work.seq_len)});
  table.add_row({"time", fmt::format("{}: {} of it before the first block, {} after the last",
                                     format_seconds(forecast.makespan_s()),
                                     format_seconds(forecast.ends.before_s),
                                     format_seconds(forecast.ends.after_s))});
  table.add_row({"idle", fmt::format("{:.1f}% of all ranks' time, {:.1f}% of the mesh's",
                                     100 * forecast.idle_fraction(),
                                     100 * forecast.simulation.idle_fraction())});
}

void add_size_rows(const PlanRequest& request, const Forecast& forecast, Table& table) {
  const RankForecast most = most_of_all(forecast);
  const std::string memory =
      has_own_host(request)
          ? fmt::format(
                "{} of the device ({} of it streams, {} temporary memory of attention) and {} of "
                "the host, each on the rank that needs most",
                format_bytes(most.peak_bytes), format_bytes(most.device_stream_bytes),
                format_bytes(request.work.device.attention_bytes), format_bytes(most.host_bytes))
          : fmt::format("{} on the rank that needs most; device and host are one memory",
                        format_bytes(most.peak_bytes));
  table.add_row({"memory", memory});
  table.add_row({"streams", fmt::format("{} each on a rank, {} over the busiest link",
                                        format_bytes(forecast.costs.stream_bytes),
                                        format_bytes(most.sent_bytes))});
  table.add_row({"disk", fmt::format("{} in the run folder at most, {} of it live blocks; {} of "
                                     "the result",
                                     format_bytes(disk_bytes(request, forecast)),
                                     format_bytes(state_bytes(request, forecast)),
                                     format_bytes(result_bytes(request.work)))});
  table.add_row({"saving", saving_words(forecast.save_beside)});
  table.add_row({"going on", going_on_words(going_on_costs(request, forecast),
                                            stop_keeps_streams(request, forecast))});
  if (most.scratch_bytes > 0) {
    table.add_row({"scratch", fmt::format("{} of streams on the rank that needs most",
                                          format_bytes(most.scratch_bytes))});
  }
}

std::string link_words(const LinkUse& use, bool in_node, const char* bound) {
  if (use.bytes_per_s == 0) return "none";
  return fmt::format("{} for each second of computing, {:.1f}% of a link {} ({} a second){}",
                     format_bytes(static_cast<int64_t>(use.bytes_per_s)), 100 * use.part(),
                     in_node ? "within a node" : "between ranks",
                     format_bytes(static_cast<int64_t>(use.rate)), use.binds() ? bound : "");
}

void add_link_rows(const PlanRequest& request, const Forecast& forecast, Table& table) {
  if (forecast.mesh.ranks() == 1) return;
  const LinksUsed used = links_used(request, forecast);
  const LinkRates rates = link_rates(request.machine, request.node, forecast.mesh);
  table.add_row({"links, streams", link_words(used.streams, rates.streams_in_node,
                                              ": it binds, stages wait for it")});
  table.add_row({"links, sums", link_words(used.sums, rates.sums_in_node,
                                           ": it binds, a step exchanges longer than it "
                                           "computes")});
}

nlohmann::ordered_json link_json(const LinkUse& use) {
  return {{"bytes_per_s", use.bytes_per_s}, {"rate", use.rate}, {"binds", use.binds()}};
}

// "4" or "4 to 7".
std::string ranks_of_stage(const Mesh& mesh, int stage) {
  const int first = mesh.rank_of(stage, 0), last = mesh.rank_of(stage, mesh.replicas - 1);
  return first == last ? fmt::to_string(first) : fmt::format("{} to {}", first, last);
}

// A row per stage: the most that one of its ranks needs of memory and scratch, and sends.
std::string stage_table(const PlanRequest& request, const Forecast& forecast) {
  const bool own_host = has_own_host(request);
  std::vector<Table::Column> columns = {{"stage"}, {"ranks"}, {own_host ? "device" : "memory"}};
  if (own_host) columns.push_back({"host"});
  for (const char* title : {"scratch", "to the next stage", "among its replicas"}) {
    columns.push_back({title});
  }
  Table table(columns);
  for (int stage = 0; stage < forecast.mesh.stages; ++stage) {
    const RankForecast most = most_of_stage(forecast, stage);
    std::vector<std::string> row = {fmt::to_string(stage), ranks_of_stage(forecast.mesh, stage),
                                    format_bytes(most.peak_bytes)};
    if (own_host) row.push_back(format_bytes(most.host_bytes));
    for (const int64_t bytes : {most.scratch_bytes, most.sent_bytes, most.exchanged_bytes}) {
      row.push_back(format_bytes(bytes));
    }
    table.add_row(row);
  }
  return table.text();
}

void add_bytes(const RankForecast& rank, nlohmann::ordered_json& into) {
  into["peak_bytes"] = rank.peak_bytes;
  into["host_bytes"] = rank.host_bytes;
  into["device_stream_bytes"] = rank.device_stream_bytes;
  into["scratch_bytes"] = rank.scratch_bytes;
  into["link_bytes"] = rank.sent_bytes;
  into["exchange_bytes"] = rank.exchanged_bytes;
}

// For each stage: its ranks, and the most that one of them needs, sends on, and exchanges.
nlohmann::ordered_json stages_json(const Forecast& forecast) {
  const Mesh& mesh = forecast.mesh;
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  for (int stage = 0; stage < mesh.stages; ++stage) {
    nlohmann::ordered_json one;
    one["stage"] = stage;
    one["next_stage"] = mesh.next_stage(stage);
    one["first_rank"] = mesh.rank_of(stage, 0);
    one["ranks"] = mesh.replicas;
    add_bytes(most_of_stage(forecast, stage), one);
    stages.push_back(one);
  }
  return stages;
}

nlohmann::ordered_json ranks_json(const Forecast& forecast) {
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const RankForecast& rank : forecast.ranks) {
    nlohmann::ordered_json one;
    one["rank"] = rank.rank;
    add_bytes(rank, one);
    one["busy_s"] = rank.busy_s;
    ranks.push_back(one);
  }
  return ranks;
}

}  // namespace

double work_of_lag(const Plan& plan, const PlanCosts& costs) {
  const Plan one_turn =
      make_plan(plan.blocks, plan.epochs, plan.epochs, plan.stage_count(), Walk::sweep);
  return seconds_of_actions(plan, costs) / seconds_of_actions(one_turn, costs);
}

std::string describe_machine(const Workload& work, const Machine& machine) {
  const PlanCosts costs = plan_costs(work, machine, {1, 1}, 0);
  const auto samples = static_cast<double>(work.samples);
  const auto ms = [](double seconds) { return fmt::format("{:.3g} ms", 1e3 * seconds); };
  const auto rate = [](double bytes) {
    return format_bytes(static_cast<int64_t>(bytes)) + " a second";
  };
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"a sample", fmt::format("{} in training, {} forward", ms(costs.epoch_s / samples),
                                         ms(costs.forward_s / samples))});
  table.add_row({"a block", fmt::format("{} to load, {} to make ready, {} to pack",
                                        ms(costs.load_s), ms(costs.prepare_s), ms(costs.pack_s))});
  table.add_row({"products",
                 fmt::format("{:.1f} GFLOP/s a thread in training, {:.1f} forward",
                             1e-9 * machine.unit_flops_per_s, 1e-9 * machine.forward_flops_per_s)});
  table.add_row(
      {"disk", fmt::format("reads {}, hashes {}, writes {} and {} a file",
                           rate(machine.read_bytes_per_s), rate(machine.hash_bytes_per_s),
                           rate(machine.write_bytes_per_s), ms(machine.write_latency_s))});
  table.add_row({"link", fmt::format("{}, {} a message", rate(machine.link_bytes_per_s),
                                     ms(machine.link_latency_s))});
  table.add_row({"start", format_seconds(machine.start_s)});
  return table.text();
}

std::string describe_forecast(const PlanRequest& request, const Forecast& forecast) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  add_run_rows(request, forecast, table);
  add_size_rows(request, forecast, table);
  add_link_rows(request, forecast, table);
  table.add_row({"extra work of lag",
                 fmt::format("{:.1f}%", 100 * (work_of_lag(forecast.plan, forecast.costs) - 1))});
  if (forecast.mesh.ranks() == 1) return table.text();
  return table.text() + "\n" + stage_table(request, forecast);
}

nlohmann::ordered_json forecast_json(const PlanRequest& request, const Forecast& forecast) {
  const RankForecast most = most_of_all(forecast);
  return {
      {"ranks", request.ranks},
      {"stages", forecast.mesh.stages},
      {"replicas", forecast.mesh.replicas},
      {"walk", word_of(forecast.walk)},
      {"lag", request.work.lag},
      {"makespan_s", forecast.makespan_s()},
      {"before_s", forecast.ends.before_s},
      {"after_s", forecast.ends.after_s},
      {"idle_fraction", forecast.idle_fraction()},
      {"peak_bytes", most.peak_bytes},
      {"host_bytes", most.host_bytes},
      {"device_stream_bytes", most.device_stream_bytes},
      {"device_attention_bytes", has_own_host(request) ? request.work.device.attention_bytes : 0},
      {"one_memory", !has_own_host(request)},
      {"link_bytes", most.sent_bytes},
      {"exchange_bytes", most.exchanged_bytes},
      {"link_of_streams", link_json(links_used(request, forecast).streams)},
      {"link_of_sums", link_json(links_used(request, forecast).sums)},
      {"disk_bytes", disk_bytes(request, forecast)},
      {"state_bytes", state_bytes(request, forecast)},
      {"save_beside", forecast.save_beside},
      {"replay_block_s", going_on_costs(request, forecast).replay_s},
      {"kept_stream_bytes", kept_stream_bytes(request, forecast)},
      {"result_bytes", result_bytes(request.work)},
      {"scratch_bytes", most.scratch_bytes},
      {"work_of_lag", work_of_lag(forecast.plan, forecast.costs)},
      {"per_stage", stages_json(forecast)},
      {"per_rank", ranks_json(forecast)}};
}

}  // namespace bitmill
