#pragma once
// The pause between two checks whether another rank has sent something.

#include <algorithm>
#include <chrono>
#include <thread>

namespace bitmill {

// Short at first, because most messages come soon; every pause is twice as long as the one before,
// up to `longest`.
class Pause {
 public:
  void operator()() {
    std::this_thread::sleep_for(length_);
    length_ = std::min(length_ * 2, longest);
  }

 private:
  static constexpr std::chrono::microseconds longest{1000};
  std::chrono::microseconds length_{10};
};

}  // namespace bitmill
