#pragma once
// What a rank is doing, in a few words for people: "block 3, train, epoch 4, step 17". The working
// thread sets the text; the watchdog's thread reads it.

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
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_ = "beginning";
};

}  // namespace bitmill
