#pragma once

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

}  // namespace bitmill
