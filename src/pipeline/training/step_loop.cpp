#include "pipeline/training/step_loop.hpp"

#include <fmt/format.h>

#include <cassert>

#include "base/stopwatch.hpp"

namespace bitmill {
namespace {

class StepLoop {
 public:
  StepLoop(Trained& trained, const StepsDone& done, StopControl& stop)
      : trained_(trained), steps_per_epoch_(trained.steps_per_epoch()), stop_(stop), done_(done) {}

  void run() {
    for (bool first = true; trained_.wants_epoch(done_.epochs); first = false) {
      // A safe point with nothing to save: the epoch before this one is saved.
      if (!first && stop_.stop_here()) {
        leave(fmt::format("after {} epoch{}", done_.epochs, done_.epochs == 1 ? "" : "s"));
      }
      train_epoch();
    }
  }

 private:
  // Begins with the first step of the epoch that is not done.
  void train_epoch() {
    const Stopwatch watch;
    const int64_t first = done_.steps - done_.epochs * steps_per_epoch_;
    assert(0 <= first && first < steps_per_epoch_);
    int64_t step = first;
    while (take_step(step) && ++step < steps_per_epoch_) between_steps(step);
    const double of_steps = watch.seconds();
    finish_epoch();
    const double of_earlier_starts =
        of_steps * static_cast<double>(first) / static_cast<double>(steps_per_epoch_ - first);
    trained_.epoch_saved(done_.epochs - 1, watch.seconds() + of_earlier_starts);
  }

  bool take_step(int64_t step) {
    const Stopwatch watch;
    const bool goes_on = trained_.take_step(done_.epochs, step);
    ++done_.steps;
    step_seconds_ = watch.seconds();
    stop_.step_took(step_seconds_);
    return goes_on;
  }

  // Called before `step`. A later feature that saves in the middle of a long epoch belongs here.
  // All ranks must do the same: what only one rank knows, such as the time, decides nothing until
  // the ranks have agreed on it.
  void between_steps(int64_t step) {
    if (!stop_.stop_here()) return;
    save();
    leave(fmt::format("after step {} of epoch {}", step, done_.epochs));
  }

  // Ranks cannot leave between the last step and the end of this call. So for a deadline it counts
  // as a step, too.
  void finish_epoch() {
    const Stopwatch watch;
    trained_.finish_epoch(done_.epochs);
    stop_.step_took(watch.seconds());
    ++done_.epochs;
    done_.steps = done_.epochs * steps_per_epoch_;
    save();
  }

  void save() {
    const Stopwatch watch;
    trained_.save(done_);
    save_seconds_ = watch.seconds();
    stop_.save_took(save_seconds_);
  }

  [[noreturn]] void leave(const std::string& where) {
    stop_.leave(fmt::format("{} of {}: the step took {:.3f} s, writing the state {:.3f} s", where,
                            trained_.name(), step_seconds_, save_seconds_));
  }

  Trained& trained_;
  const int64_t steps_per_epoch_;
  StopControl& stop_;
  StepsDone done_;
  double step_seconds_ = 0, save_seconds_ = 0;  // of the last step and the last save
};

}  // namespace

void train_steps(Trained& trained, const StepsDone& done, StopControl& stop) {
  StepLoop(trained, done, stop).run();
}

}  // namespace bitmill
