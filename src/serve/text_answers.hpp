#pragma once
// What the scheduler writes of one request, handed to the thread of the request's connection.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "serve/text_batch.hpp"

namespace bitmill {

// Something that happened to text `index` of a request.
struct TextNews {
  size_t index = 0;
  std::string text = {};
  std::vector<TokenScore> scores = {};
  std::optional<Finish> finish = std::nullopt;         // the text has ended
  int64_t tokens = 0;                                  // then: that were written
  std::optional<RequestError> failure = std::nullopt;  // or it has failed
};

// Shared by both threads. What has not been taken yet is bounded by the lengths of the texts.
class TextAnswers : public std::enable_shared_from_this<TextAnswers> {
 public:
  // What the scheduler is given for text `index`; it keeps this object alive.
  std::shared_ptr<TextListening> listener(size_t index);

  // What happened first and was not taken; nothing when there is none within `time`.
  std::optional<TextNews> wait(std::chrono::milliseconds time);
  // Nobody listens any more: the scheduler drops all texts at its next step.
  void cancel();

 private:
  class Listener;
  bool still_wanted() const;
  void add(TextNews news);

  mutable std::mutex mutex_;
  std::condition_variable added_;
  std::deque<TextNews> news_;
  bool cancelled_ = false;
};

}  // namespace bitmill
