#include "cli/report/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

using nlohmann::ordered_json;

// With more ranks than this, the row of a rank would be thinner than a line on a screen.
constexpr int most_rank_rows = 1024;
// A trace repeats the actions that rows have in common, if there are at most so many rows.
constexpr size_t most_repeated_rows = 64;

// Actions without duration could not be seen; they would only make the page larger.
bool shows(const TimedAction& one) { return one.end_s > one.begin_s; }

std::string kind_of(const TimedAction& one) { return to_token(one.action).substr(0, 1); }

// Actions are most of a page's bytes, so a row with the same actions as another names that row.
ordered_json row_data(const TimelineRow& row) {
  if (row.same_as >= 0) return {{"name", row.name}, {"note", row.note}, {"same", row.same_as}};
  ordered_json actions = ordered_json::array();
  for (const TimedAction& one : row.actions) {
    if (!shows(one)) continue;
    actions.push_back({kind_of(one), one.action.block, one.action.turn, one.begin_s, one.end_s});
  }
  return {{"name", row.name}, {"note", row.note}, {"actions", actions}};
}

ordered_json curve_data(const Curve& curve) {
  ordered_json series = ordered_json::array();
  for (const Curve::Series& one : curve.series) {
    series.push_back({{"name", one.name}, {"points", one.points}});
  }
  return {{"title", curve.title}, {"facts", curve.facts}, {"x", curve.x_name}, {"series", series}};
}

ordered_json page_data(const std::string& title, std::span<const Timeline> timelines,
                       std::span<const Curve> curves) {
  ordered_json list = ordered_json::array();
  for (const Timeline& timeline : timelines) {
    ordered_json rows = ordered_json::array();
    for (const TimelineRow& row : timeline.rows) rows.push_back(row_data(row));
    list.push_back({{"title", timeline.title},
                    {"facts", timeline.facts},
                    {"seconds", timeline.seconds},
                    {"rows", rows}});
  }
  ordered_json lines = ordered_json::array();
  for (const Curve& curve : curves) lines.push_back(curve_data(curve));
  return {{"title", title}, {"timelines", list}, {"curves", lines}};
}

std::string note_of(double busy_s, double makespan_s, int64_t peak_bytes) {
  return fmt::format("busy {:.1f} %, peak {}", 100 * busy_s / makespan_s, format_bytes(peak_bytes));
}

// The row of one rank. When a replica has fewer samples than the busiest one, it waits for that one
// within its actions.
TimelineRow rank_row(const Forecast& forecast, int rank) {
  const RankForecast& one = forecast.ranks[static_cast<size_t>(rank)];
  const std::string name = fmt::format("rank {}", rank);
  if (!forecast.mesh.contains(rank)) return {name, "not in the mesh", {}};
  const std::string note = note_of(one.busy_s, forecast.simulation.makespan_s, one.peak_bytes);
  const int stage = forecast.mesh.stage_of_rank(rank);
  const int first = forecast.mesh.rank_of(stage, 0);
  if (rank != first) return {name, note, {}, first};
  return {name, note, forecast.simulation.stages[static_cast<size_t>(stage)].actions};
}

// The row of a stage, with the figures of its busiest replica.
TimelineRow stage_row(const Forecast& forecast, int number) {
  const SimulatedStage& stage = forecast.simulation.stages[static_cast<size_t>(number)];
  return {fmt::format("stage {}", number),
          note_of(stage.busy_s, forecast.simulation.makespan_s, stage.peak_bytes), stage.actions};
}

ordered_json thread_event(const char* what, size_t process, size_t thread,
                          const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

const std::vector<TimedAction>& actions_of(const Timeline& timeline, const TimelineRow& row) {
  return row.same_as < 0 ? row.actions : timeline.rows[static_cast<size_t>(row.same_as)].actions;
}

namespace {

void add_row(const Timeline& timeline, size_t row, size_t process, ordered_json& events) {
  constexpr double microseconds = 1e6;
  events.push_back(thread_event("thread_name", process, row, timeline.rows[row].name));
  for (const TimedAction& one : actions_of(timeline, timeline.rows[row])) {
    if (!shows(one)) continue;
    events.push_back({{"ph", "X"},
                      {"name", to_token(one.action)},
                      {"cat", kind_of(one)},
                      {"pid", process},
                      {"tid", row},
                      {"ts", one.begin_s * microseconds},
                      {"dur", (one.end_s - one.begin_s) * microseconds}});
  }
}

void add_process(const Timeline& timeline, size_t process, ordered_json& events) {
  const auto left_out = [&](const TimelineRow& row) {
    return row.same_as >= 0 && timeline.rows.size() > most_repeated_rows;
  };
  const bool whole = std::ranges::none_of(timeline.rows, left_out);
  events.push_back(thread_event("process_name", process, 0,
                                timeline.title + (whole ? "" : " (one rank of every stage)")));
  for (size_t row = 0; row < timeline.rows.size(); ++row) {
    if (!left_out(timeline.rows[row])) add_row(timeline, row, process, events);
  }
}

}  // namespace

Timeline planned_timeline(const Forecast& forecast, const std::string& title) {
  const Simulation& simulation = forecast.simulation;
  const int stages = forecast.mesh.stages, replicas = forecast.mesh.replicas;
  const auto ranks = static_cast<int>(forecast.ranks.size());
  const bool by_rank = ranks <= most_rank_rows;
  Timeline out{
      title,
      fmt::format("{} x {}, {}", format_number_of("stage", stages),
                  format_number_of("replica", replicas), format_seconds(simulation.makespan_s)),
      simulation.makespan_s,
      {}};
  if (ranks > forecast.mesh.ranks()) {
    out.facts += fmt::format("; {} idle", format_number_of("rank", ranks - forecast.mesh.ranks()));
  }
  if (!by_rank)
    out.facts += fmt::format("; a row is a stage of {}", format_number_of("rank", replicas));
  for (int i = 0; i < (by_rank ? ranks : stages); ++i) {
    out.rows.push_back(by_rank ? rank_row(forecast, i) : stage_row(forecast, i));
  }
  return out;
}

std::string timeline_page(const std::string& title, std::span<const Timeline> timelines,
                          std::span<const Curve> curves) {
  // A path need not be UTF-8.
  const std::string text = page_data(title, timelines, curves)
                               .dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  std::string data;  // without '<', so that no text in it can end the script
  for (const char c : text) data += c == '<' ? "\\u003c" : std::string(1, c);
  constexpr std::string_view place = "@DATA@";
  std::string page = embedded_timeline_page();
  return page.replace(page.find(place), place.size(), data);
}

std::string trace_json(std::span<const Timeline> timelines) {
  ordered_json events = ordered_json::array();
  for (size_t process = 0; process < timelines.size(); ++process) {
    add_process(timelines[process], process, events);
  }
  return ordered_json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump() + "\n";
}

}  // namespace bitmill
