#include "cli/trace.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace bitmill {
namespace {

using nlohmann::ordered_json;

// Everything the page draws: stages of [token's letter, block, turn, begin, end].
ordered_json page_data(const PlanRequest& request, const Forecast& forecast,
                       const std::string& title) {
  ordered_json stages = ordered_json::array();
  for (const SimulatedStage& stage : forecast.simulation.stages) {
    ordered_json actions = ordered_json::array();
    for (const SimulatedAction& one : stage.actions) {
      if (one.end_s <= one.begin_s) continue;
      actions.push_back({to_token(one.action).substr(0, 1), one.action.block, one.action.turn,
                         one.begin_s, one.end_s});
    }
    stages.push_back(
        {{"actions", actions}, {"busy_s", stage.busy_s}, {"peak_bytes", stage.peak_bytes}});
  }
  return {{"title", title},
          {"blocks", request.work.blocks},
          {"replicas", forecast.mesh.replicas},
          {"idle_ranks", request.ranks - forecast.mesh.ranks()},
          {"makespan_s", forecast.simulation.makespan_s},
          {"stages", stages}};
}

constexpr const char* page_head = R"html(<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>bitmill plan</title><style>
body { font: 14px sans-serif; margin: 16px; color: #222; }
#tip { position: fixed; background: #222; color: #fff; padding: 4px 8px; border-radius: 4px;
       pointer-events: none; display: none; white-space: pre; }
.key { display: inline-block; margin-right: 14px; }
.key i { display: inline-block; width: 12px; height: 12px; margin-right: 4px; }
label { margin-right: 14px; }
</style></head><body><h2 id="title"></h2><p id="facts"></p>
<p><label><input type="radio" name="by" value="kind" checked> by kind</label>
<label><input type="radio" name="by" value="block"> by block</label><span id="keys"></span></p>
<canvas id="chart"></canvas><div id="tip"></div><script>
const data = )html";

constexpr const char* page_tail = R"html(;
const kinds = {E: ["embed", "#8c8c8c"], L: ["load", "#c9a227"], T: ["teach", "#4c9f70"],
  O: ["train", "#3b6fb6"], P: ["pack", "#b5533c"], F: ["forward", "#8a5fb0"]};
const canvas = document.getElementById("chart"), tip = document.getElementById("tip");
const left = 90, top_ = 24, right = 16;
// One row a rank while they can be told apart, else one a stage.
const ranks = data.stages.length * data.replicas + data.idle_ranks;
const perRank = ranks <= 64;
const rows = [];
data.stages.forEach((stage, s) => {
  for (let d = 0; d < (perRank ? data.replicas : 1); ++d)
    rows.push({stage, name: perRank ? "rank " + (s * data.replicas + d) : "stage " + s});
});
if (perRank) for (let i = 0; i < data.idle_ranks; ++i)
  rows.push({stage: null, name: "rank " + (ranks - data.idle_ranks + i)});
const height = Math.max(8, Math.min(34, Math.floor(900 / rows.length)));
const colour = (a, by) => by === "kind" ? kinds[a[0]][1] : a[1] < 0 ? "#8c8c8c" :
  `hsl(${(a[1] * 137.5) % 360} 55% ${a[0] === "O" ? 50 : 68}%)`;
const seconds = t => t >= 86400 ? (t / 86400).toFixed(2) + " d" : t >= 3600 ?
  (t / 3600).toFixed(2) + " h" : t >= 60 ? (t / 60).toFixed(1) + " min" : t.toPrecision(3) + " s";
const scale = () => (canvas.width - left - right) / data.makespan_s;
function draw() {
  const by = document.querySelector("input[name=by]:checked").value;
  canvas.width = Math.max(600, innerWidth - 40);
  canvas.height = top_ + rows.length * (height + 2) + 8;
  const c = canvas.getContext("2d"), x = t => left + t * scale();
  c.font = "11px sans-serif";
  for (let i = 0; i <= 8; ++i) {
    const t = data.makespan_s * i / 8;
    c.fillStyle = "#666"; c.fillText(seconds(t), Math.min(x(t), canvas.width - 60), 12);
    c.fillStyle = "#ddd"; c.fillRect(x(t), 16, 1, canvas.height);
  }
  rows.forEach((row, r) => {
    const y = top_ + r * (height + 2);
    c.fillStyle = "#444";
    if (height > 9 || r % 4 === 0) c.fillText(row.name, 4, y + Math.min(height, 14) - 1);
    if (!row.stage) { c.fillStyle = "#f0f0f0"; c.fillRect(left, y, canvas.width - left - right, height); return; }
    for (const a of row.stage.actions) {
      c.fillStyle = colour(a, by);
      c.fillRect(x(a[3]), y, Math.max(0.5, (a[4] - a[3]) * scale()), height);
    }
  });
}
function find(e) {
  const box = canvas.getBoundingClientRect();
  const r = Math.floor((e.clientY - box.top - top_) / (height + 2));
  const t = (e.clientX - box.left - left) / scale();
  if (r < 0 || r >= rows.length || t < 0 || t > data.makespan_s) return null;
  const row = rows[r];
  const head = row.name + (row.stage ? "" : "\nnot in the mesh");
  if (!row.stage) return head;
  const a = row.stage.actions.find(a => a[3] <= t && t < a[4]);
  return head + (a ? `\n${kinds[a[0]][0]}` + (a[1] >= 0 ? ` block ${a[1]}` : "") +
    (a[2] >= 0 ? ` turn ${a[2]}` : "") + `\n${seconds(a[3])} to ${seconds(a[4])} (${seconds(a[4] - a[3])})`
    : `\nwaits at ${seconds(t)}`) + `\nbusy ${(100 * row.stage.busy_s / data.makespan_s).toFixed(1)}%, peak ` +
    (row.stage.peak_bytes / 1e9).toFixed(2) + " GB";
}
canvas.onmousemove = e => {
  const text = find(e);
  tip.style.display = text ? "block" : "none";
  if (text) { tip.textContent = text; tip.style.left = Math.min(e.clientX + 12, innerWidth - 240) + "px"; tip.style.top = (e.clientY + 12) + "px"; }
};
canvas.onmouseleave = () => tip.style.display = "none";
document.querySelectorAll("input[name=by]").forEach(i => i.onchange = draw);
onresize = draw;
document.getElementById("title").textContent = data.title;
document.getElementById("facts").textContent = `${data.stages.length} stages x ${data.replicas} replicas, ` +
  `${data.blocks} blocks, ${seconds(data.makespan_s)}` + (data.idle_ranks ? `, ${data.idle_ranks} ranks idle` : "") +
  (perRank ? "" : `; a row is a stage of ${data.replicas} ranks`);
document.getElementById("keys").innerHTML = Object.values(kinds).map(k =>
  `<span class="key"><i style="background:${k[1]}"></i>${k[0]}</span>`).join("") + "<span class=\"key\">white: waits</span>";
draw();
</script></body></html>
)html";

}  // namespace

std::string timeline_page(const PlanRequest& request, const Forecast& forecast,
                          const std::string& title) {
  std::string data = page_data(request, forecast, title).dump();
  // Nothing in a string may end the script.
  for (size_t at = 0; (at = data.find("</", at)) != std::string::npos;) data.replace(at, 2, "<\\/");
  return page_head + data + page_tail;
}

std::string trace_json(const Forecast& forecast) {
  constexpr double microseconds = 1e6;
  ordered_json events = ordered_json::array();
  for (size_t stage = 0; stage < forecast.simulation.stages.size(); ++stage) {
    events.push_back({{"ph", "M"},
                      {"name", "process_name"},
                      {"pid", stage},
                      {"args", {{"name", fmt::format("stage {}", stage)}}}});
    for (const SimulatedAction& one : forecast.simulation.stages[stage].actions) {
      if (one.end_s <= one.begin_s) continue;
      events.push_back({{"ph", "X"},
                        {"name", to_token(one.action)},
                        {"cat", to_token(one.action).substr(0, 1)},
                        {"pid", stage},
                        {"tid", 0},
                        {"ts", one.begin_s * microseconds},
                        {"dur", (one.end_s - one.begin_s) * microseconds}});
    }
  }
  return ordered_json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump() + "\n";
}

}  // namespace bitmill
