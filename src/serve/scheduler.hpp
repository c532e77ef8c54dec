#pragma once
// The one thread that computes. It runs a TextBatch, lets waiting requests in between steps, and
// sleeps when there is nothing to do.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/thread_pool.hpp"
#include "serve/text_batch.hpp"

namespace bitmill {

// A text of a request that is to be written.
struct ScheduledText {
  TextTask task;
  std::shared_ptr<TextListening> listener;
};

class Scheduler {
 public:
  // `batch` and `pool` are used by the scheduler's thread alone from now on, and must outlive it.
  // `most_waiting`: requests with texts that have no place yet, besides one for each free place.
  Scheduler(TextBatch& batch, ThreadPool& pool, int64_t most_waiting);
  ~Scheduler();  // as cut()
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  enum class Answer { taken, full, stopping };
  // The texts of one request. Requests that wait take turns: one with many texts does not keep
  // others from the next free place. Any thread; does not wait.
  Answer submit(std::vector<ScheduledText> texts);

  // From now on nothing is taken, and what waits is ended with on_failure(). What is in the batch
  // goes on.
  void stop_taking();
  // As stop_taking(), and ends what is in the batch, too, with on_failure(), at the end of the
  // current step; waits for that.
  void cut();
  bool is_idle() const;

  struct Figures {
    uint64_t requests = 0;  // taken since the beginning, as all of these
    uint64_t refused = 0;   // requests, because too many waited
    uint64_t prompt_tokens = 0;
    uint64_t new_tokens = 0;
    int64_t in_batch = 0;  // texts, now
    int64_t waiting = 0;   // requests, now
  };
  Figures figures() const;

 private:
  void work();
  void drop_unwanted();
  void fill_batch();

  TextBatch& batch_;
  ThreadPool& pool_;
  const int64_t most_waiting_;

  mutable std::mutex mutex_;  // guards all of the following
  std::condition_variable changed_;
  std::deque<std::deque<ScheduledText>> waiting_;
  Figures figures_;
  bool stopping_ = false;
  bool cut_ = false;

  std::thread thread_;
};

}  // namespace bitmill
