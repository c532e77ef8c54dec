#pragma once
// What ranks do over time, and what a training reaches, as pictures: one page for a browser, or
// events for a trace viewer.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "schedule/planner.hpp"

namespace bitmill {

// One line of a picture: a rank; or a stage, in a plan with too many ranks to draw each.
struct TimelineRow {
  std::string name;
  std::string note;  // shown when the mouse is over the row
  std::vector<TimedAction> actions;
  int same_as = -1;  // the row that also has this row's actions, which are then not stored here
};

struct Timeline {
  std::string title;
  std::string facts;  // a line below it
  double seconds = 0;
  std::vector<TimelineRow> rows;
};

// Lines over one axis.
struct Curve {
  struct Series {
    std::string name;
    std::vector<std::pair<double, double>> points;  // x ascending
  };
  std::string title;
  std::string facts;  // a line below it
  std::string x_name;
  std::vector<Series> series;
};

// The actions of `row`: its own, or those of the row that it is the same as.
const std::vector<TimedAction>& actions_of(const Timeline& timeline, const TimelineRow& row);

// The timeline of a forecast. Replicas of a stage have the same actions. Ranks beyond the mesh have
// rows without actions.
Timeline planned_timeline(const Forecast& forecast, const std::string& title);

// One self-contained HTML page, with the timelines below each other on the same scale of time, and
// the curves below them. Actions are coloured by kind or by block, waiting is white, and numbers
// show under the mouse.
std::string timeline_page(const std::string& title, std::span<const Timeline> timelines,
                          std::span<const Curve> curves = {});

// Chrome's trace format: a JSON object with `traceEvents`, a process per timeline and a thread per
// row. The format has no rows with common actions. When there are many such rows, those that are
// the same as another row are left out, and the name of the process says so.
std::string trace_json(std::span<const Timeline> timelines);

// timeline.html, which is part of the binary, with @DATA@ where the data belongs. Made by CMake.
const char* embedded_timeline_page();

}  // namespace bitmill
