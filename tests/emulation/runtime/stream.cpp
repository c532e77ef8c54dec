#include "emulation/runtime/stream.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/faults.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/rest.hpp"

namespace bitmill::fake_cuda {

Stream::Stream(int of_device, bool is_blocking, int at_priority, uint64_t own_number)
    : device(of_device),
      blocking(is_blocking),
      priority(at_priority),
      number(own_number),
      thread_([this] { run(); }) {}

Stream::~Stream() { thread_.join(); }

uint64_t Stream::push(Task task) { return add({std::move(task), false}); }
uint64_t Stream::push_always(Task task) { return add({std::move(task), true}); }

uint64_t Stream::add(Entry entry) {
  const std::lock_guard lock(mutex_);
  entries_.push_back(std::move(entry));
  changed_.notify_all();
  return ++pushed_;
}

uint64_t Stream::last() const {
  const std::lock_guard lock(mutex_);
  return pushed_;
}

void Stream::want(uint64_t place) {
  const std::lock_guard lock(mutex_);
  wanted_ = std::max(wanted_, place);
  changed_.notify_all();
}

void Stream::wait(uint64_t place) {
  want(place);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ >= place || abandoned_; });
}

uint64_t Stream::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

bool Stream::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool Stream::idle() const {
  const std::lock_guard lock(mutex_);
  return done_ == pushed_;
}

void Stream::close() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  changed_.notify_all();
}

bool Stream::abandon(int milliseconds) {
  std::unique_lock lock(mutex_);
  abandoned_ = true;
  changed_.notify_all();
  return changed_.wait_for(lock, std::chrono::milliseconds(milliseconds), [&] { return ended_; });
}

void Stream::rest(std::unique_lock<std::mutex>& lock) {
  const auto pause = std::chrono::microseconds(rest_of_task(number, done_ + 1));
  if (pause.count() == 0) return;
  changed_.wait_for(lock, pause, [&] { return wanted_ > done_ || abandoned_; });
}

void Stream::carry_out(const Entry& entry) {
  if (!entry.always && sticky_error(device) != cudaSuccess) return;
  const Outcome outcome = run_as_device(entry.task);
  if (outcome.error != cudaSuccess) break_device(device, outcome.error, outcome.text);
}

void Stream::run() {
  set_current_device(device);
  prepare_thread_for_faults();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || abandoned_ || !entries_.empty(); });
    if (abandoned_ || entries_.empty()) break;
    rest(lock);
    if (abandoned_) break;
    Entry entry = std::move(entries_.front());
    entries_.pop_front();
    lock.unlock();
    carry_out(entry);
    entry.task = nullptr;  // what it holds goes before anybody hears that it is done
    lock.lock();
    ++done_;
    changed_.notify_all();
  }
  ended_ = true;
  changed_.notify_all();
}

}  // namespace bitmill::fake_cuda
