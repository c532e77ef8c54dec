#include "base/suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bitmill {

int edit_distance(std::string_view a, std::string_view b) {
  // distance[i][j]: between the first i letters of a and the first j of b.
  std::vector<std::vector<int>> distance(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) distance[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= b.size(); ++j) distance[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const int replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      int& best = distance[i][j];
      best = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        best = std::min(best, distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[a.size()][b.size()];
}

std::string nearest_name(std::string_view word, const std::vector<std::string>& names) {
  const int length = static_cast<int>(word.size());
  int best = std::min(std::max(2, length / 3), length - 1) + 1;  // the smallest that is too far
  std::string nearest;
  for (const std::string& name : names) {
    const int distance = edit_distance(word, name);
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  return nearest;
}

std::vector<std::string> nearest_names(std::string_view word, std::vector<std::string> names,
                                       size_t most) {
  std::vector<std::pair<int, std::string>> by_distance;
  for (std::string& name : names) {
    const int distance = edit_distance(word, name);
    by_distance.emplace_back(distance, std::move(name));
  }
  std::ranges::stable_sort(by_distance, {}, &std::pair<int, std::string>::first);
  std::vector<std::string> nearest;
  for (auto& [distance, name] : by_distance) {
    if (nearest.size() == most) break;
    nearest.push_back(std::move(name));
  }
  return nearest;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& names,
                         std::string_view dashes) {
  const std::string nearest = nearest_name(word, names);
  return nearest.empty() ? "" : fmt::format(" (did you mean {}{}?)", dashes, nearest);
}

}  // namespace bitmill
