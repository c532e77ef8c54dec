#pragma once
// The thread that calls Claim::beat() once per interval, so that others see that the holder lives.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "checkpoint/claim.hpp"

namespace bitmill {

class Heartbeat {
 public:
  // `claim` outlives it.
  explicit Heartbeat(Claim& claim, std::chrono::milliseconds interval = std::chrono::seconds(1));
  ~Heartbeat();

 private:
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bitmill
