#include "tests/emulation/block/grid.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "tests/emulation/block/block_runner.hpp"
#include "tests/emulation/block/kernel_fault.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {
namespace {

Runtime* runtime_below = nullptr;
thread_local uint64_t switches_last = 0;

// A whole number from the environment; refuses anything else.
uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return otherwise;
  char* rest = nullptr;
  const uint64_t value = std::strtoull(text, &rest, 10);
  if (rest == text || *rest != '\0') {
    throw std::invalid_argument(std::string(name) + "=" + text + " is no whole number");
  }
  return value;
}

// The blocks of a grid that several workers take one after the other.
class Work {
 public:
  explicit Work(const Grid& grid) : grid_(grid), order_(grid.blocks.count()) {
    for (uint64_t i = 0; i < order_.size(); ++i) order_[i] = i;
    uint64_t state = settings().seed;
    for (uint64_t left = order_.size(); left > 1; --left) {
      state = state * 6364136223846793005 + 1442695040888963407;  // Knuth's MMIX
      std::swap(order_[left - 1], order_[(state >> 33) % left]);
    }
  }

  bool any_left() const { return next_.load() < order_.size(); }

  // Runs blocks until none is left, or one has failed.
  void help() {
    BlockRunner& runner = BlockRunner::of_this_thread();
    for (uint64_t i = next_++; i < order_.size(); i = next_++) {
      try {
        runner.run(grid_, order_[i], events_);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (failure_ == nullptr) failure_ = std::current_exception();
        next_ = order_.size();
      }
    }
    switches_ += runner.take_switches();
  }

  void finish() {
    tsan::acquire(&events_.end);
    switches_last = switches_;
    if (failure_ != nullptr) std::rethrow_exception(failure_);
  }

 private:
  const Grid& grid_;
  std::vector<uint64_t> order_;
  std::atomic<uint64_t> next_ = 0;
  std::atomic<uint64_t> switches_ = 0;
  std::mutex mutex_;
  std::exception_ptr failure_;
  LaunchEvents events_;
};

// Threads that help with every grid, until the process ends.
class Workers {
 public:
  static Workers& of_process() {
    static Workers& only = *new Workers;  // its threads never end
    return only;
  }

  // Returns when every block is done.
  void run(Work& work, int workers) {
    {
      const std::lock_guard lock(mutex_);
      while (static_cast<int>(threads_) + 1 < workers) {
        std::thread([this] { serve(); }).detach();
        ++threads_;
      }
      open_.push_back(&work);
    }
    changed_.notify_all();
    work.help();
    std::unique_lock lock(mutex_);
    std::erase(open_, &work);
    changed_.wait(lock, [&] { return std::ranges::count(busy_, &work) == 0; });
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto has_blocks = [](const Work* work) { return work->any_left(); };
      const auto found = std::ranges::find_if(open_, has_blocks);
      if (found == open_.end()) {
        changed_.wait(lock);
        continue;
      }
      Work* const work = *found;
      busy_.push_back(work);
      lock.unlock();
      work->help();
      lock.lock();
      busy_.erase(std::ranges::find(busy_, work));
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned threads_ = 0;
  std::vector<Work*> open_;
  std::vector<Work*> busy_;  // once for every thread that helps
};

// CUDA C++ Programming Guide, technical specifications for compute capability 9.0.
bool has_cuda_shape(const Grid& grid) {
  const auto within = [](const Extent& extent, unsigned x, unsigned y, unsigned z) {
    return extent.count() > 0 && extent.x <= x && extent.y <= y && extent.z <= z;
  };
  return within(grid.threads, 1024, 1024, 64) && grid.threads.count() <= 1024 &&
         within(grid.blocks, 0x7FFFFFFF, 65535, 65535) && grid.shared_bytes <= 227 * 1024;
}

constexpr int success = 0, invalid_configuration = 9;  // cudaError_t

}  // namespace

Settings& settings() {
  static Settings all{from_environment("BITMILL_EMULATION_SEED", 1),
                      static_cast<int>(from_environment("BITMILL_EMULATION_WORKERS", 1))};
  return all;
}

uint64_t switches_of_last_grid() { return switches_last; }

void set_runtime(Runtime* runtime) { runtime_below = runtime; }
Runtime* runtime() { return runtime_below; }

void run_grid(const Grid& grid) {
  Work work(grid);
  const int workers = tsan::on ? 1 : settings().workers;
  if (workers > 1 && grid.blocks.count() > 1) {
    Workers::of_process().run(work, workers);
  } else {
    work.help();
  }
  work.finish();
}

int submit(Grid grid, void* stream) {
  if (!has_cuda_shape(grid)) return invalid_configuration;
  if (runtime_below == nullptr) {
    run_grid(grid);
    return success;
  }
  return runtime_below->enqueue(stream, [grid = std::move(grid)] {
    try {
      run_grid(grid);
    } catch (const KernelFault& fault) {
      runtime_below->kernel_failed(fault.illegal_address(), fault.what());
    }
  });
}

}  // namespace bitmill::emulation
