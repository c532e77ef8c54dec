#include "base/thread_pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace bitmill {
namespace {

// Calls done() until it is true, or `time` is over; returns what it said last.
template <class Done>
bool spin_until(std::chrono::microseconds time, const Done& done) {
  if (done()) return true;
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    if (done()) return true;
  }
  return false;
}

}  // namespace

struct ThreadPool::State {
  // One call of parallel_for. It lives on the caller's stack. `helpers` counts the pool threads
  // that hold a pointer to it; the caller returns only when `helpers` is zero.
  struct Job {
    const std::function<void(int64_t)>* task;
    int64_t count;
    std::atomic<int64_t> next = 0;
    std::atomic<int> helpers = 0;  // changed under mutex
    std::exception_ptr error{};    // guarded by mutex

    bool has_work() const { return next.load(std::memory_order_relaxed) < count; }
  };

  std::mutex mutex;
  std::condition_variable work_added;
  std::condition_variable helper_left;
  std::list<Job*> jobs;  // innermost last
  bool stopping = false;
  // Counts what threads that spin wait for: calls of parallel_for, and the end. Changed under
  // mutex.
  std::atomic<uint64_t> news = 0;
  std::atomic<std::chrono::microseconds> spin_time = std::chrono::microseconds(0);
  std::atomic<uint64_t> tasks_done = 0;
  std::function<void()> on_start;  // set before the threads are made
  std::vector<std::thread> threads;

  // Ends all threads. There may be fewer than were asked for, when one could not be started.
  ~State() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      ++news;
    }
    work_added.notify_all();
    for (auto& thread : threads) thread.join();
  }

  void perform(const std::function<void(int64_t)>& task, int64_t i) {
    task(i);
    tasks_done.fetch_add(1, std::memory_order_relaxed);
  }

  void work_on(Job& job) {
    try {
      for (int64_t i; (i = job.next.fetch_add(1)) < job.count;) perform(*job.task, i);
    } catch (...) {
      job.next.store(job.count);
      std::lock_guard lock(mutex);
      if (!job.error) job.error = std::current_exception();
    }
  }

  Job* find_work() {
    const auto it =
        std::find_if(jobs.rbegin(), jobs.rend(), [](Job* job) { return job->has_work(); });
    return it == jobs.rend() ? nullptr : *it;
  }

  // Returns when there is news, or for no reason.
  void wait_for_news(std::unique_lock<std::mutex>& lock) {
    const uint64_t known = news.load();
    if (const auto time = spin_time.load(); time.count() > 0) {
      lock.unlock();
      spin_until(time, [&] { return news.load() != known; });
      lock.lock();
      if (news.load() != known) return;
    }
    work_added.wait(lock);
  }

  // Returns when no thread holds a pointer to `job`, which is no longer in `jobs`.
  void wait_for_helpers(Job& job) {
    const auto left = [&] { return job.helpers.load() == 0; };
    if (spin_until(spin_time.load(), left)) return;
    std::unique_lock lock(mutex);
    helper_left.wait(lock, left);
  }

  void run_helper() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      Job* job = find_work();
      if (job == nullptr) {
        wait_for_news(lock);
        continue;
      }
      ++job->helpers;
      lock.unlock();
      work_on(*job);
      lock.lock();
      if (--job->helpers == 0) helper_left.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int threads, std::function<void()> on_start)
    : state_(std::make_unique<State>()) {
  state_->on_start = std::move(on_start);
  try {
    for (int i = 1; i < threads; ++i) {
      state_->threads.emplace_back([state = state_.get()] {
        if (state->on_start) state->on_start();
        state->run_helper();
      });
    }
  } catch (const std::system_error& error) {
    throw Error(
        fmt::format("thread {} of {} could not be started: {}; lower --threads, or raise the "
                    "limits on processes and memory of this machine or container",
                    size() + 1, threads, error.what()));
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::spin_while_idle(std::chrono::microseconds time) { state_->spin_time = time; }

uint64_t ThreadPool::tasks_done() const {
  return state_->tasks_done.load(std::memory_order_relaxed);
}

void ThreadPool::parallel_for(int64_t count, const std::function<void(int64_t)>& task) {
  if (count <= 0) return;
  if (count == 1 || size() == 1) {
    for (int64_t i = 0; i < count; ++i) state_->perform(task, i);
    return;
  }
  State::Job job{&task, count};
  std::list<State::Job*>::iterator position;
  {
    std::lock_guard lock(state_->mutex);
    position = state_->jobs.insert(state_->jobs.end(), &job);
    ++state_->news;
  }
  state_->work_added.notify_all();
  state_->work_on(job);
  {
    std::lock_guard lock(state_->mutex);
    state_->jobs.erase(position);
  }
  state_->wait_for_helpers(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace bitmill
