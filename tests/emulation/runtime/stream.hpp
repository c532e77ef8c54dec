#pragma once
// One stream: a thread that does tasks in order, one at a time.
//
// A task rests before it runs, up to the delay of the settings, unless something waits for it. So
// what a program does not wait for has not happened yet, as on a device that is busy.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace bitmill::fake_cuda {

using Task = std::function<void()>;

class Stream {
 public:
  // `blocking`: ordered with the device's default stream. `number` is unique in the process.
  Stream(int device, bool blocking, int priority, uint64_t number);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  // REQUIRES: ended(), or close() before.
  ~Stream();

  // Returns the task's place, from 1. The task does not run once the device is broken: a stream
  // with an error goes on, so that everybody who waits for it comes to know.
  uint64_t push(Task task);
  // As push(), for what must happen also on a broken device: events, counters, memory.
  uint64_t push_always(Task task);
  // The place of the last task.
  uint64_t last() const;
  // Tasks up to `place` rest no longer.
  void want(uint64_t place);
  // want(), and returns when they are done.
  void wait(uint64_t place);
  uint64_t done() const;
  bool idle() const;
  // No task after those that are there: the thread ends when they are done.
  void close();
  bool ended() const;
  // Gives up: no further task runs. True when the running one ended within `milliseconds`.
  bool abandon(int milliseconds);

  const int device;
  const bool blocking;
  const int priority;
  const uint64_t number;

 private:
  struct Entry {
    Task task;
    bool always;
  };
  void run();
  void rest(std::unique_lock<std::mutex>& lock);
  void carry_out(const Entry& entry);
  uint64_t add(Entry entry);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  uint64_t pushed_ = 0, done_ = 0, wanted_ = 0;
  bool closing_ = false, abandoned_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace bitmill::fake_cuda
