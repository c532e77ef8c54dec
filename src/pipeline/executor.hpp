#pragma once
// The only loop over blocks: it carries out a plan through the Compute seam.

#include <cstdint>

#include "schedule/plan.hpp"

namespace bitmill {

// Where training stands: the key of everything that is reported, and of what is saved by its
// counterpart Progress (checkpoint/run_dir.hpp), which counts what is finished.
struct Position {
  int block = 0;
  int turn = 0;
  int epoch = 0;     // over the whole run of the block: turn * lag + epoch within the turn
  int64_t step = 0;  // within the epoch

  bool operator==(const Position&) const = default;
};

// What the actions of a plan mean. The real one is BlockCompute; tests use a chain of hashes that
// needs no tensors. Every rank makes the same calls; an implementation may communicate in each.
class Compute {
 public:
  virtual ~Compute() = default;

  virtual void embed(int turn) = 0;
  virtual void load(int block) = 0;
  virtual void teach(int block, int turn) = 0;
  virtual int64_t steps_per_epoch() const = 0;
  virtual void train_step(const Position& at) = 0;
  // After the last step of an epoch, with at.step == steps_per_epoch(): the mean loss of its
  // samples, the same on every rank.
  virtual double finish_epoch(const Position& at) = 0;
  virtual void pack(int block, int turn) = 0;
  virtual void forward(int block, int turn) = 0;
  virtual void drop(int block) = 0;
};

// Hears what happens, on every rank. Must not communicate.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void action_begins(const Action&) {}
  virtual void step_done(const Position&) {}
  virtual void epoch_done(const Position&, double /*loss*/) {}  // as given to finish_epoch
  virtual void action_done(const Action&) {}
};

// The plan must have no fault (find_fault); checked first, UsageError otherwise.
void execute(const Plan& plan, Compute& compute, Observer& observer);

}  // namespace bitmill
