#pragma once
// The threads of one rank. Work is cut by the caller, in a way that does not depend on the number
// of threads: threads change who computes, never what.
//
// parallel_for may be called from inside a task (a sample's products inside a sample): idle threads
// help wherever work is left, and the caller works on its own call until it is done, so nesting
// cannot deadlock.

#include <cstdint>
#include <functional>
#include <memory>

namespace bitmill {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller. `on_start` runs once on every thread that the pool makes.
  // Error when the system does not give that many; those already made are ended first.
  explicit ThreadPool(int threads, std::function<void()> on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls task(i) once for every i in [0, count), on any thread, in any order; returns when all are
  // done. After a task threw, tasks that have not begun are left out, and the first exception is
  // rethrown here.
  void parallel_for(int64_t count, const std::function<void(int64_t)>& task);

  // Tasks finished so far: only tells that work goes on. Any thread may ask.
  uint64_t tasks_done() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitmill
