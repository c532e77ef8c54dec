#pragma once
// What a rank is doing, and on which GPU, in a few words for people: "block 3, train, epoch 4, step
// 17, on NVIDIA H200 (cuda:0), 151 GB". The working thread sets the text; the watchdog's thread
// reads it.

#include <mutex>
#include <string>
#include <utility>

namespace bitmill {

class Activity {
 public:
  void set(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
  }
  // From here on part of the text.
  void set_device(std::string device) {
    const std::lock_guard lock(mutex_);
    device_ = std::move(device);
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return device_.empty() ? text_ : text_ + ", on " + device_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_ = "beginning";
  std::string device_;  // empty: the host
};

}  // namespace bitmill
