#pragma once
// Commits states, packed blocks and events to a run folder while the process computes. A thread of
// its own does the hashing and the writing, one commit after the other, in the order of the calls:
// an earlier epoch's state is committed before a later one's, and a packed block after the states
// of its block.
//
// Only one thread may call. What a commit fails with is thrown by the next call of check() or
// settle(), and by every call that begins a commit; nothing is committed after a failure.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/run_dir.hpp"

namespace bitmill {

class Pages;

class RunWriter {
 public:
  // `dir` outlives it. While it lives, only it writes live states, packed blocks and events to
  // `dir`. `beside`: the state of an epoch is copied, and written while training goes on; else
  // training waits until it is committed, and there is no copy. `collects`: this is writer 0, and
  // there are others whose events it collects.
  RunWriter(RunDir& dir, bool beside, bool collects = false);
  // Ends what is being written. What has not begun is left out, unless settle() came before.
  ~RunWriter();

  // What is read of the folder is what is committed: settle() first.
  RunDir& dir() { return dir_; }
  const RunDir& dir() const { return dir_; }

  // How often save_epoch() produces each tensor, all of them in order before it begins again.
  static int times_produced(bool beside) { return beside ? 1 : RunDir::produced_per_write; }
  // Commits the state at the end of an epoch, then appends `event`. Beside training: waits until
  // everything before is committed, produces every tensor once, and returns; memory for one copy
  // of the tensors. Else it returns when it is committed.
  void save_epoch(const Progress& progress, const std::vector<TensorSource>& tensors,
                  const std::string& event);
  // Commits a state in the middle of an epoch. Returns when it and everything before is committed.
  // Produces each tensor RunDir::produced_per_write times.
  void save_steps(const Progress& progress, const std::vector<TensorSource>& tensors);
  // As RunDir::write_packed(); returns at once. The tensors are produced on another thread: each
  // source must own its bytes.
  void begin_packed(int block, int turn, bool last, std::vector<TensorSource> tensors);
  // Returns at once.
  void begin_event(std::string line);

  // Throws what a commit failed with. Cheap.
  void check();
  // Returns when everything is committed.
  void settle();

  // The longest time of a state from the call until it was committed, without waiting for those
  // before it. How long a caller may have to wait in settle().
  double longest_commit_s() const;
  // Seconds that the calls above have taken so far: training stood still.
  double seconds_waited() const { return seconds_waited_; }

 private:
  using Commit = std::function<void()>;

  void begin(Commit commit);
  void wait_for_all();
  std::vector<TensorSource> copies_of(const std::vector<TensorSource>& tensors);
  // REQUIRES for the next two: mutex_ is locked.
  void throw_if_failed() const;
  void carry_out_waiting(std::unique_lock<std::mutex>& lock);
  void run();

  RunDir& dir_;
  const bool beside_;
  const bool collects_;
  std::shared_ptr<Pages> copy_;  // of the last state; shared with the commit that reads it
  size_t copy_bytes_ = 0;
  double seconds_waited_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Commit> waiting_;
  bool busy_ = false;
  bool ending_ = false;
  std::exception_ptr failure_;
  double longest_commit_s_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace bitmill
