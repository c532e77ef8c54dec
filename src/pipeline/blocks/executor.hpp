#pragma once
// The only loop over blocks: it carries out the actions of one stage, by calls to a Compute.

#include <cstdint>
#include <functional>
#include <vector>

#include "checkpoint/run_state.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "schedule/plan.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// What is told about an epoch that is finished. `at`: as in Compute::finish_epoch().
struct FinishedEpoch {
  Position at;
  double loss = 0;
  double seconds = 0;  // of the whole epoch, as in Trained::save_epoch()
};

// What the actions of a plan mean. The real implementation is BlockCompute; tests use a chain of
// hashes that needs no tensors. Every replica of a stage makes the same calls. An implementation
// may communicate with the other replicas in each call, except where the comment of a call says
// otherwise.
class Compute {
 public:
  virtual ~Compute() = default;

  virtual void embed(int turn) = 0;
  virtual void load(int block) = 0;
  // `saved`: the block is restored from its saved live state; its statistics, mask and first values
  // are not made again.
  virtual void teach(int block, int turn, bool saved) = 0;
  virtual int64_t steps_per_epoch() const = 0;
  virtual void train_step(const Position& at) = 0;
  // Called after the last step of an epoch, with at.step == steps_per_epoch(). Returns the mean
  // loss of the epoch's samples, the same on every replica.
  virtual double finish_epoch(const Position& at) = 0;
  // Learned values and the optimiser's state, as Trained has them: save_epoch() begins to commit
  // them with the line about the epoch, save_steps() commits them in the middle of one. settle()
  // returns when all that was saved and packed is committed; it does not communicate, nor does
  // seconds_to_leave().
  virtual void save_epoch(const Progress& done, const FinishedEpoch& epoch) = 0;
  virtual void save_steps(const Progress& done) = 0;
  virtual void settle() = 0;
  virtual double seconds_to_leave() const = 0;
  // Begins to commit the packed block.
  virtual void pack(int block, int turn) = 0;
  // `wanted`: whether the next block reads the outputs.
  virtual void forward(int block, int turn, bool wanted) = 0;
  // `comes_back`: whether a later turn of the same band visits the block and needs the same
  // targets.
  virtual void drop(int block, bool comes_back) = 0;

  // For a turn that an earlier start has packed: pass() replaces teach() and only moves the
  // teacher's stream on; reload() replaces pack() and reads what was packed.
  virtual void pass(int block, int turn) = 0;
  virtual void reload(int block, int turn) = 0;

  // Streams between stages. has_arrived(), has_room() and all_sent() move streams on and do not
  // wait. Their answers may differ between replicas.
  virtual bool has_arrived(int block, int turn) = 0;
  virtual void receive(int block, int turn) = 0;
  virtual bool has_room() = 0;
  virtual void send(int block, int turn) = 0;
  virtual bool all_sent() = 0;
  // The next receive. Called before the first action and after each receive, as long as a receive
  // is left, so that its streams, and no others, can come in meanwhile.
  virtual void expect(int block, int turn) = 0;

  // Takes a stream that an earlier start has kept, for the teach() or pass() that follows.
  virtual void take_kept(const KeptUse& use) = 0;
  // The last two calls when the mesh stops, after everything is committed. leave_streams() waits
  // until no stream is under way any more. Each of them is then whole on one of two stages; this
  // side may have to call `expect_next`, which announces the receive behind the one that was
  // expected. keep_streams() may keep the streams that the next start needs.
  virtual void leave_streams(const std::function<void()>& expect_next) = 0;
  virtual void keep_streams() = 0;
};

// Carries out what is left of one stage of the plan after `done`, which has one entry per block,
// each usable(). Throws AgreedStop at the first safe point where the ranks agree to leave: between
// actions (but not between making a block ready for the first time and its first step), while
// waiting for another stage, and inside a train action where train_steps() leaves.
// Everything of this stage is committed then. Returns when every stage has finished and committed
// its work. Throws UsageError, before anything else, when the plan has
// a fault (find_fault()).
//
// `kept`: streams that `compute` can take, from an earlier start.
void execute(const Plan& plan, int stage, const std::vector<BlockDone>& done, Compute& compute,
             StopControl& stop, Observer& observer, const KeptStreams& kept = {});

}  // namespace bitmill
