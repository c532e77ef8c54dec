#include "pipeline/ranks/idle_ranks.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>

#include "comm/wait.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/ranks/stop_notes.hpp"

namespace bitmill {
namespace {

// The idle ranks as rank 0 sees them. Rank 0 gets one note from each, and sends one note to each at
// the end. The two notes may cross, so each side looks for the other's note before it waits for its
// own to be gone.
class IdleRanks {
 public:
  // The idle ranks are those from `first` on; there may be none.
  IdleRanks(Communicator& world, int first) : world_(world), first_(first) {
    for (int rank = first; rank < world.size(); ++rank) notes_.emplace_back(world, rank);
  }

  // Why an idle rank was asked to stop; empty while none was. Each call looks at only some of them.
  std::string wish() {
    constexpr size_t at_a_time = 16;  // there may be thousands, and this is asked between two steps
    for (size_t i = 0; i < std::min(at_a_time, notes_.size()) && wish_.empty(); ++i) {
      ExpectedNote& expected = notes_[next_];
      next_ = (next_ + 1) % notes_.size();
      if (expected.here()) wish_ = expected.note().text();
    }
    return wish_;
  }

  // Tells every idle rank that the work has ended. `why` it stopped; empty when it is done.
  void end(const std::string& why) {
    std::deque<SentNote> sent;
    for (int rank = first_; rank < world_.size(); ++rank) {
      sent.emplace_back(world_, rank, StopNote::of(why));
    }
    for (ExpectedNote& expected : notes_) expected.wait();
    for (SentNote& note : sent) note.wait();
  }

 private:
  Communicator& world_;
  const int first_;
  std::deque<ExpectedNote> notes_;
  size_t next_ = 0;
  std::string wish_;
};

// On an idle rank. Passes a wish of this rank on, once, and returns what IdleRanks::end() said.
std::string wait_for_the_end(Communicator& world, const StopWishes& wishes) {
  ExpectedNote end(world, 0);
  std::optional<SentNote> wish;
  for (Wait wait(world, "the end of the work; this rank has none"); !end.here(); wait()) {
    if (wish) {
      wish->gone();  // moves it on
    } else if (const std::string why = wishes.asked(); !why.empty()) {
      wish.emplace(world, 0, StopNote::of(why));
    }
  }
  if (!wish) wish.emplace(world, 0, StopNote());  // rank 0 expects one note from each
  wish->wait();
  return end.note().text();
}

// On a rank at work. Returns why the work stopped; empty when it is done.
std::string run_until_stop(const WorkOfARank& work, const StopWishes& wishes) {
  try {
    work(wishes);
    return "";
  } catch (const AgreedStop& stop) {
    return stop.what();
  }
}

}  // namespace

void work_beside_idle_ranks(Communicator& world, int at_work, const StopWishes& wishes,
                            const WorkOfARank& work) {
  std::string stopped;
  if (world.rank() >= at_work) {
    stopped = wait_for_the_end(world, wishes);
  } else {
    std::optional<IdleRanks> idle;
    if (world.rank() == 0) idle.emplace(world, at_work);
    StopWishes of_all = wishes;
    of_all.asked = [&idle, asked = wishes.asked] {
      const std::string own = asked();
      return own.empty() && idle ? idle->wish() : own;
    };
    stopped = run_until_stop(work, of_all);
    if (idle) idle->end(stopped);
  }
  world.barrier();
  if (!stopped.empty()) throw AgreedStop(stopped);
}

}  // namespace bitmill
