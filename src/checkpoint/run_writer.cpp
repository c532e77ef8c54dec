#include "checkpoint/run_writer.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/memory.hpp"
#include "base/stopwatch.hpp"

namespace bitmill {
namespace {

// How often the events of other writers are collected, where nothing else is to be done.
constexpr auto collecting_interval = std::chrono::seconds(1);

}  // namespace

RunWriter::RunWriter(RunDir& dir, bool beside, bool collects)
    : dir_(dir), beside_(beside), collects_(collects), thread_([this] { run(); }) {}

RunWriter::~RunWriter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void RunWriter::save_epoch(const Progress& progress, const std::vector<TensorSource>& tensors,
                           const std::string& event) {
  const TimedScope timed(seconds_waited_);
  wait_for_all();
  if (!beside_) {
    dir_.write_live(progress, tensors, event);
    begin_event(event);
    return;
  }
  begin([this, progress, event, copies = copies_of(tensors)] {
    const Stopwatch watch;
    dir_.write_live(progress, copies, event);
    dir_.events().append(event);
    const std::lock_guard lock(mutex_);
    longest_commit_s_ = std::max(longest_commit_s_, watch.seconds());
  });
}

void RunWriter::save_steps(const Progress& progress, const std::vector<TensorSource>& tensors) {
  const TimedScope timed(seconds_waited_);
  wait_for_all();
  dir_.write_live(progress, tensors);
}

void RunWriter::begin_packed(int block, int turn, bool last, std::vector<TensorSource> tensors) {
  begin([this, block, turn, last, tensors = std::move(tensors)] {
    dir_.write_packed(block, turn, last, tensors);
  });
}

void RunWriter::begin_event(std::string line) {
  begin([this, line = std::move(line)] { dir_.events().append(line); });
}

// The memory is used again: to make it anew would cost a page fault for every 4 KiB of every state.
std::vector<TensorSource> RunWriter::copies_of(const std::vector<TensorSource>& tensors) {
  size_t bytes = 0;
  for (const TensorSource& tensor : tensors) bytes += static_cast<size_t>(tensor.bytes());
  if (copy_ == nullptr || bytes > copy_bytes_) {
    copy_ = nullptr;  // freed before the larger one is made
    copy_ = std::make_shared<Pages>(bytes);
    copy_bytes_ = bytes;
  }
  assert(copy_.use_count() == 1);
  std::vector<TensorSource> copies;
  std::byte* next = copy_->data();
  for (const TensorSource& tensor : tensors) {
    const std::span<const std::byte> copied(next, static_cast<size_t>(tensor.bytes()));
    tensor.produce([&next](std::span<const std::byte> piece) {
      if (!piece.empty()) std::memcpy(next, piece.data(), piece.size());
      next += piece.size();
    });
    assert(next == copied.data() + copied.size());
    copies.push_back({tensor.name, tensor.dtype, tensor.shape,
                      [copied, memory = copy_](const ByteSink& sink) { sink(copied); }});
  }
  return copies;
}

void RunWriter::begin(Commit commit) {
  const std::lock_guard lock(mutex_);
  throw_if_failed();
  waiting_.push_back(std::move(commit));
  changed_.notify_all();
}

void RunWriter::check() {
  const std::lock_guard lock(mutex_);
  throw_if_failed();
}

void RunWriter::settle() {
  const TimedScope timed(seconds_waited_);
  wait_for_all();
}

void RunWriter::wait_for_all() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failure_ || (waiting_.empty() && !busy_); });
  throw_if_failed();
}

double RunWriter::longest_commit_s() const {
  const std::lock_guard lock(mutex_);
  return longest_commit_s_;
}

void RunWriter::throw_if_failed() const {
  if (failure_) std::rethrow_exception(failure_);
}

// The thread. A commit that failed ends it: nothing may be committed after it.
void RunWriter::run() {
  std::unique_lock lock(mutex_);
  while (!ending_ && !failure_) {
    const auto has_work = [this] { return ending_ || !waiting_.empty(); };
    if (!collects_) {
      changed_.wait(lock, has_work);
    } else if (!changed_.wait_for(lock, collecting_interval, has_work)) {
      waiting_.emplace_back([this] { dir_.events().collect(); });
    }
    carry_out_waiting(lock);
  }
}

void RunWriter::carry_out_waiting(std::unique_lock<std::mutex>& lock) {
  while (!waiting_.empty() && !failure_) {
    Commit commit = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    std::exception_ptr failure;
    try {
      commit();
    } catch (...) {
      failure = std::current_exception();
    }
    commit = nullptr;  // gives back the copy of a state before settle() returns
    lock.lock();
    busy_ = false;
    failure_ = failure;
    changed_.notify_all();
  }
}

}  // namespace bitmill
