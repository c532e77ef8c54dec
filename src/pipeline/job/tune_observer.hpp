#pragma once
// What a run of `tune` tells while it works.

#include <cstdint>
#include <string>

#include "pipeline/job/tuning_history.hpp"

namespace bitmill {

// Hears what happens, on every rank.
class TuneObserver {
 public:
  virtual ~TuneObserver() = default;
  virtual void phase_begins(const std::string&) {}
  // What people should know, and nothing hinders the work.
  virtual void note(const std::string&) {}
  // Of the original's outputs; first with none of the blocks done.
  virtual void teacher_done(int64_t /*blocks_done*/, int64_t /*blocks*/) {}
  // The next thing is a step.
  virtual void training_begins() {}
  // `step` of the epoch was the last one done.
  virtual void step_done(int /*epoch*/, int64_t /*step*/) {}
  // The last entries of the history are new; without training ones, only the start was measured.
  // An epoch of which earlier starts did a part has the seconds that it would have taken here.
  virtual void epoch_done(const TuningHistory&, double /*seconds*/) {}
};

}  // namespace bitmill
