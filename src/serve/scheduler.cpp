#include "serve/scheduler.hpp"

#include <ATen/Parallel.h>

#include <utility>

namespace bitmill {
namespace {

RequestError stopping_error() {
  return {http_status::unavailable, "", "the server is being stopped: try again later"};
}

}  // namespace

Scheduler::Scheduler(TextBatch& batch, ThreadPool& pool, int64_t most_waiting)
    : batch_(batch), pool_(pool), most_waiting_(most_waiting), thread_([this] { work(); }) {}

Scheduler::~Scheduler() {
  cut();
  thread_.join();
}

Scheduler::Answer Scheduler::submit(std::vector<ScheduledText> texts) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return Answer::stopping;
  // Those that get a free place at the next step only seem to wait.
  const int64_t free = batch_.places() - figures_.in_batch;
  if (std::ssize(waiting_) >= most_waiting_ + free) {
    ++figures_.refused;
    return Answer::full;
  }
  ++figures_.requests;
  waiting_.emplace_back(std::make_move_iterator(texts.begin()),
                        std::make_move_iterator(texts.end()));
  changed_.notify_all();
  return Answer::taken;
}

void Scheduler::stop_taking() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (const auto& request : waiting_) {
    for (const ScheduledText& text : request) text.listener->on_failure(stopping_error());
  }
  waiting_.clear();
  changed_.notify_all();
}

void Scheduler::cut() {
  stop_taking();
  std::unique_lock lock(mutex_);
  cut_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return figures_.in_batch == 0; });
}

bool Scheduler::is_idle() const {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && figures_.in_batch == 0;
}

Scheduler::Figures Scheduler::figures() const {
  const std::lock_guard lock(mutex_);
  Figures figures = figures_;
  figures.waiting = std::ssize(waiting_);
  return figures;
}

void Scheduler::work() {
  // This thread is one of the pool's, which has told the others (see cli/program.cpp).
  at::set_num_threads(1);
  std::unique_lock lock(mutex_);
  while (true) {
    drop_unwanted();
    fill_batch();
    if (cut_) batch_.fail_all(stopping_error());
    figures_.in_batch = batch_.size();
    if (figures_.in_batch == 0) {
      changed_.notify_all();
      if (cut_) return;
      changed_.wait(lock, [&] { return !waiting_.empty() || cut_; });
      continue;
    }
    lock.unlock();
    const TextBatch::Step step = batch_.step(pool_);
    lock.lock();
    figures_.prompt_tokens += static_cast<uint64_t>(step.prompt_tokens);
    figures_.new_tokens += static_cast<uint64_t>(step.new_tokens);
  }
}

// A request whose client has gone leaves its place in the queue.
void Scheduler::drop_unwanted() {
  for (auto& request : waiting_) {
    std::erase_if(request, [](const auto& text) { return !text.listener->still_wanted(); });
  }
  std::erase_if(waiting_, [](const auto& request) { return request.empty(); });
}

void Scheduler::fill_batch() {
  while (!waiting_.empty() && !batch_.is_full()) {
    std::deque<ScheduledText> request = std::move(waiting_.front());
    waiting_.pop_front();
    ScheduledText text = std::move(request.front());
    request.pop_front();
    if (!request.empty()) waiting_.push_back(std::move(request));
    const auto listener = text.listener;
    try {
      batch_.join(std::move(text.task), std::move(text.listener));
    } catch (const std::exception& error) {
      listener->on_failure({http_status::failed, "", error.what()});
    }
  }
}

}  // namespace bitmill
