#pragma once
// What ranks do over time, as a picture: one page for a browser, or events for a trace viewer.

#include <span>
#include <string>
#include <vector>

#include "schedule/planner.hpp"

namespace bitmill {

// One line of a picture: a rank, or, in a plan of too many ranks to tell apart, a stage.
struct TimelineRow {
  std::string name;
  std::string note;  // shown with whatever is under the mouse
  std::vector<TimedAction> actions;
  int same_as = -1;  // the row whose actions are this one's too, where it has none of its own
};

struct Timeline {
  std::string title;
  std::string facts;  // a line below it
  double seconds = 0;
  std::vector<TimelineRow> rows;
};

// Of the row itself, or of the one that it is the same as.
const std::vector<TimedAction>& actions_of(const Timeline& timeline, const TimelineRow& row);

// Of the actions of `forecast`; ranks beyond the mesh have rows without any. Replicas of a stage
// share theirs.
Timeline planned_timeline(const Forecast& forecast, const std::string& title);

// One self-contained HTML page, the timelines below each other on one scale of time: actions
// coloured by kind or by block, waiting left white, numbers under the mouse.
std::string timeline_page(const std::string& title, std::span<const Timeline> timelines);

// Chrome's trace format: a JSON object with `traceEvents`, one process a timeline and one thread a
// row. It has no way to share actions: of many rows, those that are the same as another are left
// out, and the process says so.
std::string trace_json(std::span<const Timeline> timelines);

// timeline.html, which is part of the binary, with @DATA@ where the data belongs. Made by CMake.
const char* embedded_timeline_page();

}  // namespace bitmill
