#include "cli/plan_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/quantity.hpp"
#include "cli/table.hpp"

namespace bitmill {
namespace {

const char* word_of(Walk walk) { return walk == Walk::wavefront ? "wavefront" : "sweep"; }

int64_t most_sent(const Forecast& forecast) {
  int64_t most = 0;
  for (const SimulatedStage& stage : forecast.simulation.stages) {
    most = std::max(most, stage.sent_bytes);
  }
  return most;
}

// Packed blocks of every turn, and the live state of those that are trained at once.
int64_t disk_bytes(const PlanRequest& request, const Forecast& forecast) {
  const Workload& work = request.work;
  const int64_t turns = work.epochs / work.lag;
  const int64_t live = std::min<int64_t>(forecast.plan.band, work.blocks);
  constexpr int64_t state_bytes = 12;  // a learned value and two moments, float32
  return work.blocks * turns * work.packed_bytes + live * work.learned * state_bytes;
}

}  // namespace

double work_of_lag(const Workload& work, const PlanCosts& costs) {
  const double training = work.epochs * costs.epoch_s;
  // A turn: the homologous targets, and the packed student; the teacher's once.
  const double turns = work.epochs / work.lag;
  return (training + (2 * turns + 1) * costs.forward_s) / (training + 3 * costs.forward_s);
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
      {"disk", fmt::format("reads {}, writes {} and {} a file", rate(machine.read_bytes_per_s),
                           rate(machine.write_bytes_per_s), ms(machine.write_latency_s))});
  table.add_row({"link", fmt::format("{}, {} a message", rate(machine.link_bytes_per_s),
                                     ms(machine.link_latency_s))});
  table.add_row({"start", format_seconds(machine.start_s)});
  return table.text();
}

std::string describe_forecast(const PlanRequest& request, const Forecast& forecast) {
  const Workload& work = request.work;
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row(
      {"mesh",
       fmt::format("{} x {} = {} of {}, {}", format_number_of("stage", forecast.mesh.stages),
                   format_number_of("replica", forecast.mesh.replicas), forecast.mesh.ranks(),
                   format_number_of("rank", request.ranks), word_of(forecast.walk))});
  table.add_row({"work", fmt::format("{}, {} epochs in {}, batch {}, {} samples of {} tokens",
                                     format_number_of("block", work.blocks), work.epochs,
                                     format_number_of("turn", work.epochs / work.lag), work.batch,
                                     work.samples, work.seq_len)});
  table.add_row({"time", fmt::format("{}, of it {} before the first block and {} after the last",
                                     format_seconds(forecast.makespan_s()),
                                     format_seconds(forecast.ends.before_s),
                                     format_seconds(forecast.ends.after_s))});
  table.add_row({"idle", fmt::format("{:.1f}% of all ranks' time, {:.1f}% of the mesh's",
                                     100 * forecast.idle_fraction(),
                                     100 * forecast.simulation.idle_fraction())});
  table.add_row({"memory", fmt::format("{} on the rank that needs most",
                                       format_bytes(forecast.peak_bytes()))});
  table.add_row({"streams", fmt::format("{} each on a rank, {} over the busiest link",
                                        format_bytes(forecast.costs.stream_bytes),
                                        format_bytes(most_sent(forecast)))});
  table.add_row({"disk", fmt::format("{} in the run folder at most",
                                     format_bytes(disk_bytes(request, forecast)))});
  table.add_row(
      {"extra work of lag", fmt::format("{:.1f}%", 100 * (work_of_lag(work, forecast.costs) - 1))});
  return table.text();
}

nlohmann::ordered_json forecast_json(const PlanRequest& request, const Forecast& forecast) {
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const RankForecast& rank : forecast.ranks) {
    ranks.push_back(
        {{"rank", rank.rank}, {"peak_bytes", rank.peak_bytes}, {"busy_s", rank.busy_s}});
  }
  return {{"ranks", request.ranks},
          {"stages", forecast.mesh.stages},
          {"replicas", forecast.mesh.replicas},
          {"walk", word_of(forecast.walk)},
          {"lag", request.work.lag},
          {"makespan_s", forecast.makespan_s()},
          {"before_s", forecast.ends.before_s},
          {"after_s", forecast.ends.after_s},
          {"idle_fraction", forecast.idle_fraction()},
          {"peak_bytes", forecast.peak_bytes()},
          {"link_bytes", most_sent(forecast)},
          {"disk_bytes", disk_bytes(request, forecast)},
          {"work_of_lag", work_of_lag(request.work, forecast.costs)},
          {"per_rank", ranks}};
}

}  // namespace bitmill
