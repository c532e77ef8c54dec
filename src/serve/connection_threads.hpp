#pragma once
// A thread for every connection, made when it is needed and kept for the next one, up to a limit.

#include <httplib.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bitmill {

class ConnectionThreads final : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(size_t limit) : limit_(limit) {}

  // Waits while all threads are busy and there are `limit` of them. So the caller, who lets clients
  // in, lets in no more than can be served.
  void enqueue(std::function<void()> task) override;
  // Waits for all tasks.
  void shutdown() override;

 private:
  void work();

  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t busy_ = 0;  // tasks that were taken or wait to be
  bool ending_ = false;
};

}  // namespace bitmill
