#pragma once
// The only loop over blocks: it carries out a plan through the Compute seam.

#include <cstdint>

#include <vector>

#include "checkpoint/run_state.hpp"
#include "pipeline/stop_control.hpp"
#include "schedule/plan.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// Where training stands: the key of everything that is reported. Its counterpart Progress
// (checkpoint/run_state.hpp) counts what is finished, and is the key of what is saved.
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
  // `saved`: the block goes on from its saved live state instead of being made ready.
  virtual void teach(int block, int turn, bool saved) = 0;
  virtual int64_t steps_per_epoch() const = 0;
  virtual void train_step(const Position& at) = 0;
  // After the last step of an epoch, with at.step == steps_per_epoch(): the mean loss of its
  // samples, the same on every rank.
  virtual double finish_epoch(const Position& at) = 0;
  // Commits the learned values and the optimiser's state.
  virtual void save(const Progress& done) = 0;
  virtual void pack(int block, int turn) = 0;
  virtual void forward(int block, int turn) = 0;
  virtual void drop(int block) = 0;

  // Where the turn was packed by an earlier start: in the place of teach, only the teacher's stream
  // moves on; in the place of pack, what is packed is read.
  virtual void pass(int block, int turn) = 0;
  virtual void reload(int block, int turn) = 0;
};

// Hears what happens, on every rank. Must not communicate.
class Observer {
 public:
  virtual ~Observer() = default;
  // Once, before the first action, when an earlier start got somewhere.
  virtual void resumed(const std::vector<BlockDone>&) {}
  virtual void action_begins(const Action&) {}
  virtual void step_done(const Position&) {}
  virtual void epoch_done(const Position&, double /*loss*/) {}  // as given to finish_epoch
  virtual void action_done(const Action&) {}
};

// Carries out what is left of the plan after `done`, one entry a block, each usable(). The state is
// saved after every epoch, and AgreedStop thrown at the first safe point where the ranks agree to
// leave: between actions, and, with the state saved, after a step. The plan must have no fault
// (find_fault): checked first, UsageError otherwise.
void execute(const Plan& plan, const std::vector<BlockDone>& done, Compute& compute,
             StopControl& stop, Observer& observer);

}  // namespace bitmill
