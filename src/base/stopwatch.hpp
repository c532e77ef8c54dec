#pragma once
// Seconds of a piece of work.

#include <chrono>

namespace bitmill {

// Seconds since the object was made. The clock is steady: setting the system's time does not change
// it.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Adds to `sum` the seconds for which this object lives.
class TimedScope {
 public:
  explicit TimedScope(double& sum) : sum_(sum) {}
  ~TimedScope() { sum_ += watch_.seconds(); }
  TimedScope(const TimedScope&) = delete;
  TimedScope& operator=(const TimedScope&) = delete;

 private:
  double& sum_;
  const Stopwatch watch_;
};

}  // namespace bitmill
