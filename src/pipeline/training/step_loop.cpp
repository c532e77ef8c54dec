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
      // A safe point: the epoch before this one is saved.
      if (!first && leaves_here()) leave_between_epochs();
      train_epoch();
    }
  }

 private:
  // Begins with the first step of the epoch that is not done.
  void train_epoch() {
    const Stopwatch of_steps;
    const int64_t first = done_.steps - done_.epochs * steps_per_epoch_;
    assert(0 <= first && first < steps_per_epoch_);
    int64_t step = first;
    while (take_step(step) && ++step < steps_per_epoch_) between_steps(step);
    const double of_earlier_starts = of_steps.seconds() * static_cast<double>(first) /
                                     static_cast<double>(steps_per_epoch_ - first);
    finish_epoch(of_earlier_starts);
  }

  bool take_step(int64_t step) {
    trained_.prepare_step(done_.epochs, step);
    const Stopwatch watch;
    const bool goes_on = trained_.take_step(done_.epochs, step);
    ++done_.steps;
    step_seconds_ = watch.seconds();
    stop_.step_took(step_seconds_);
    return goes_on;
  }

  // Called before `step`. All ranks must do the same: what only one rank knows, such as the time,
  // decides nothing until the ranks have agreed on it.
  void between_steps(int64_t step) {
    const bool leaves = leaves_here();
    if (!leaves && !trained_.wants_save()) return;
    const Stopwatch watch;
    trained_.save_steps(done_);
    save_seconds_ = watch.seconds();
    stop_.save_took(save_seconds_);  // the advice of leave() depends on whether anything was saved
    if (!leaves) return;
    leave(fmt::format("after step {} of epoch {}", step, done_.epochs));
  }

  bool leaves_here() {
    stop_.save_took(save_seconds_ + trained_.seconds_to_leave());
    return stop_.stop_here();
  }

  // Ranks cannot leave between the last step and the end of this call. So for a deadline it counts
  // as a step, too.
  void finish_epoch(double of_earlier_starts) {
    const Stopwatch watch;
    trained_.finish_epoch(done_.epochs);
    stop_.step_took(watch.seconds());
    ++done_.epochs;
    done_.steps = done_.epochs * steps_per_epoch_;
    // From the saving of one epoch to that of the next. So the time that training waits for its
    // states is part of the epochs' time.
    const double seconds = since_last_save_.seconds() + of_earlier_starts;
    since_last_save_ = Stopwatch();
    trained_.save_epoch(done_, seconds);
    save_seconds_ = since_last_save_.seconds();
    stop_.save_took(save_seconds_);
  }

  [[noreturn]] void leave_between_epochs() {
    const Stopwatch watch;
    trained_.settle();
    save_seconds_ += watch.seconds();
    leave(fmt::format("after {} epoch{}", done_.epochs, done_.epochs == 1 ? "" : "s"));
  }

  [[noreturn]] void leave(const std::string& where) {
    stop_.leave(fmt::format("{} of {}: the step took {:.3f} s, writing the state {:.3f} s", where,
                            trained_.name(), step_seconds_, save_seconds_));
  }

  Trained& trained_;
  const int64_t steps_per_epoch_;
  StopControl& stop_;
  StepsDone done_;
  Stopwatch since_last_save_;                   // or since the loop began
  double step_seconds_ = 0, save_seconds_ = 0;  // of the last step and the last save
};

}  // namespace

void train_steps(Trained& trained, const StepsDone& done, StopControl& stop) {
  StepLoop(trained, done, stop).run();
}

}  // namespace bitmill
