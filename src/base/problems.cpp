#include "base/problems.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "base/error.hpp"

namespace bitmill {

void Problems::in(const std::string& place) {
  const auto known = std::ranges::find(groups_, place, &Group::place);
  current_ = static_cast<size_t>(known - groups_.begin());
  if (known == groups_.end()) groups_.push_back({place, {}});
}

void Problems::keep_current() {
  const auto keep = [&](const Error& error, bool usage) {
    std::istringstream lines(error.what());
    for (std::string line; std::getline(lines, line);) {
      const size_t begin = line.find_first_not_of(' ');
      if (begin != line.npos) add(line.substr(begin), usage);
    }
  };
  try {
    throw;
  } catch (const UsageError& error) {
    keep(error, true);
  } catch (const Error& error) {
    keep(error, false);
  }
}

void Problems::add(const std::string& sentence, bool usage) {
  const bool known = std::ranges::any_of(groups_, [&](const Group& group) {
    return std::ranges::find(group.sentences, sentence) != group.sentences.end();
  });
  if (known) return;
  if (groups_.empty()) in("");
  groups_[current_].sentences.push_back(sentence);
  all_usage_ = all_usage_ && usage;
  ++count_;
}

void Problems::throw_if_any() const {
  if (count_ == 0) return;
  std::string text;
  if (count_ > 1) text = fmt::format("{} problems; nothing was begun", count_);
  int number = 0;
  for (const Group& group : groups_) {
    if (group.sentences.empty()) continue;
    if (count_ > 1) text += fmt::format("\n{}", group.place);
    for (const std::string& sentence : group.sentences) {
      text += count_ > 1 ? fmt::format("\n  {}. {}", ++number, sentence) : sentence;
    }
  }
  if (all_usage_) throw UsageError(text);
  throw FormatError(text);
}

}  // namespace bitmill
