#include "infer/stop_texts.hpp"

#include <algorithm>
#include <utility>

namespace bitmill {
namespace {

// Length of the longest end of `text` with which `stop` begins.
size_t overlap(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (stop.starts_with(text.substr(text.size() - length))) return length;
  }
  return 0;
}

}  // namespace

std::string StopTexts::push(std::string_view piece) {
  if (found_) return "";
  held_ += piece;
  size_t first = held_.npos, kept = 0;
  for (const std::string& stop : texts_) {
    first = std::min(first, held_.find(stop));
    kept = std::max(kept, overlap(held_, stop));
  }
  found_ = first != held_.npos;
  std::string shown = held_.substr(0, found_ ? first : held_.size() - kept);
  held_.erase(0, found_ ? held_.size() : shown.size());
  return shown;
}

std::string StopTexts::finish() { return std::exchange(held_, {}); }

}  // namespace bitmill
