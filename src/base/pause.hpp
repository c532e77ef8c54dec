#pragma once
// Between two looks at what another rank may have sent.

#include <algorithm>
#include <chrono>
#include <thread>

namespace bitmill {

// Short at first, since what is waited for mostly comes soon.
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
