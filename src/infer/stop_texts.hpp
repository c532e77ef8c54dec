#pragma once
// Finds the first of several texts in a text that comes piece by piece.

#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

class StopTexts {
 public:
  // None of them may be empty.
  explicit StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {}

  // The new text that can be shown: it is before every stop text, and no stop text can begin in it.
  // After found() it is empty.
  std::string push(std::string_view piece);
  // What was held back because a stop text could have begun there. Nothing may be pushed after it.
  std::string finish();
  // Whether a stop text was found. It, and what comes after it, is never shown.
  bool found() const { return found_; }

 private:
  std::vector<std::string> texts_;
  std::string held_;
  bool found_ = false;
};

}  // namespace bitmill
