#pragma once
// The only loop over blocks: it carries out a stage's part of a plan through the Compute seam.

#include <cstdint>
#include <vector>

#include "checkpoint/run_state.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "schedule/plan.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// What the actions of a plan mean. The real one is BlockCompute; tests use a chain of hashes that
// needs no tensors. Every replica of a stage makes the same calls; an implementation may
// communicate with them in each, but for those that say otherwise.
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
  // samples, the same on every replica.
  virtual double finish_epoch(const Position& at) = 0;
  // Commits the learned values and the optimiser's state.
  virtual void save(const Progress& done) = 0;
  virtual void pack(int block, int turn) = 0;
  // `wanted`: the next block reads what it hands on.
  virtual void forward(int block, int turn, bool wanted) = 0;
  // `comes_back`: for a later turn of the same band, which needs the same targets.
  virtual void drop(int block, bool comes_back) = 0;

  // Where the turn was packed by an earlier start: in the place of teach, only the teacher's stream
  // moves on; in the place of pack, what is packed is read.
  virtual void pass(int block, int turn) = 0;
  virtual void reload(int block, int turn) = 0;

  // Streams between stages. has_arrived(), has_room() and all_sent() move things on, do not wait,
  // and may differ between replicas.
  virtual bool has_arrived(int block, int turn) = 0;
  virtual void receive(int block, int turn) = 0;
  virtual bool has_room() = 0;
  virtual void send(int block, int turn) = 0;
  virtual bool all_sent() = 0;
  // The turn of the receive that comes next: said before the first action and after each receive,
  // as long as one is left, so that its streams, and no others, come in meanwhile.
  virtual void expect(int turn) = 0;
  // In the place of everything that is left, when the mesh stops: nothing stays under way.
  virtual void leave_streams() = 0;
};

// Carries out what is left of one stage of the plan after `done`, one entry a block, each usable().
// AgreedStop is thrown at the first safe point where the ranks agree to leave: between actions,
// while waiting for another stage, and inside of a train action where train_steps() leaves. Returns
// when every stage is through. The plan must have no fault (find_fault): checked first, UsageError
// otherwise.
void execute(const Plan& plan, int stage, const std::vector<BlockDone>& done, Compute& compute,
             StopControl& stop, Observer& observer);

}  // namespace bitmill
