#pragma once
// Ids of words that were seen before. A text has few different words, and each comes many times.

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/work_count.hpp"

namespace bitmill {

class WordCache {
 public:
  static constexpr size_t longest_word = 64;  // bytes; longer words seldom come twice

  // Appends the ids of `word`. Calls `encode` (word, ids) when the word is not in the cache.
  template <class Encode>
  void append(std::string_view word, std::vector<int32_t>& ids, const Encode& encode) {
    if (++words_ % words_per_count == 0) count_work();
    const auto found = word.size() > longest_word ? ranges_.end() : ranges_.find(word);
    if (found != ranges_.end()) {
      const auto first = ids_.begin() + found->second.begin;
      ids.insert(ids.end(), first, first + found->second.count);
      return;
    }
    const size_t before = ids.size();
    encode(word, ids);
    if (word.size() > longest_word || ranges_.size() == most_words) return;
    const Range range = {static_cast<uint32_t>(ids_.size()),
                         static_cast<uint32_t>(ids.size() - before)};
    ids_.insert(ids_.end(), ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end());
    ranges_.emplace(word, range);
  }

 private:
  static constexpr size_t most_words = size_t{1} << 17;  // about 20 MB
  static constexpr uint64_t words_per_count = 1024;      // a millisecond or less

  struct Range {
    uint32_t begin;
    uint32_t count;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, Range, TextHash, std::equal_to<>> ranges_;
  std::vector<int32_t> ids_;
  uint64_t words_ = 0;  // calls of append()
};

// Lends each cache to one thread at a time. The next thread gets it with all that is in it.
class WordCaches {
 public:
  std::unique_ptr<WordCache> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<WordCache>();
    std::unique_ptr<WordCache> cache = std::move(idle_.back());
    idle_.pop_back();
    return cache;
  }
  void give_back(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(cache));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> idle_;
};

}  // namespace bitmill
