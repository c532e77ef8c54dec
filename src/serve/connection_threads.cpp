#include "serve/connection_threads.hpp"

#include <system_error>
#include <utility>

namespace bitmill {

void ConnectionThreads::enqueue(std::function<void()> task) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return busy_ < limit_; });
  if (busy_ == threads_.size()) {
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      // The system gives no more threads: those that are there must do. Without any, the caller
      // serves this client itself.
      if (threads_.empty()) {
        lock.unlock();
        return task();
      }
      changed_.wait(lock, [&] { return busy_ < threads_.size(); });
    }
  }
  ++busy_;
  tasks_.push_back(std::move(task));
  changed_.notify_all();
}

void ConnectionThreads::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ConnectionThreads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return !tasks_.empty() || ending_; });
    if (tasks_.empty()) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
    --busy_;
    changed_.notify_all();
  }
}

}  // namespace bitmill
