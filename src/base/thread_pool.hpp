#pragma once
// The threads of one rank. The caller cuts the work, in a way that does not depend on the number
// of threads: the number decides who computes a piece, never what the pieces are.
//
// A task may call parallel_for itself (a sample is a task, and so are the products inside it).
// Idle threads help wherever work is left, and the caller works on its own call until that is done,
// so nested calls cannot deadlock.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace bitmill {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller. `on_start` runs once on every thread that the pool makes.
  // Error when the system does not give so many threads; the pool ends those that it has made
  // before.
  explicit ThreadPool(int threads, std::function<void()> on_start = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls task(i) once for every i in [0, count), on any thread, in any order; returns when all are
  // done. When a task throws, tasks that have not begun are skipped, and the first exception is
  // rethrown here.
  void parallel_for(int64_t count, const std::function<void(int64_t)>& task);

  // From now on, threads without work look for so long whether some comes before they sleep; 0 at
  // first. For calls that are short and follow each other closely, such as the products of a
  // decoder: to wake a thread takes as long by order of magnitude. Threads that look take
  // processor time from others.
  void spin_while_idle(std::chrono::microseconds time);

  // Number of tasks finished so far. It only shows that work goes on. Any thread may ask.
  uint64_t tasks_done() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bitmill
