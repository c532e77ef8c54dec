#include "data/window_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>
#include <unordered_set>

#include "base/error.hpp"

namespace bitmill {
namespace {

constexpr int64_t most_windows_per_token = 16;
// A text hardly ever repeats one token so often.
constexpr int64_t shortest_padding = 8;

int64_t text_tokens(const Tokens& tokens) { return static_cast<int64_t>(tokens.ids.size()); }

// How many of the first values are equal.
template <class Iterator>
int64_t equal_run(Iterator begin, Iterator end) {
  return std::find_if(begin, end, [&](int32_t id) { return id != *begin; }) - begin;
}

std::string copies_note(const Windows& windows) {
  const int64_t distinct = distinct_windows(windows);
  if (distinct == windows.count) return "";
  return fmt::format("only {} of {} windows are distinct; the others are copies of them", distinct,
                     windows.count);
}

std::string overlap_note(const Tokens& tokens, const Windows& windows) {
  const int64_t side_by_side = text_tokens(tokens) / windows.seq_len;
  if (tokens.is_windows() || windows.count <= side_by_side) return "";
  return fmt::format(
      "{} windows of {} tokens are drawn from a text of {}, which holds {} side by "
      "side: they share tokens",
      windows.count, windows.seq_len, text_tokens(tokens), side_by_side);
}

// In a file of ready windows. In a text, a run of one token is text.
std::string padding_note(const Tokens& tokens, const Windows& windows) {
  if (!tokens.is_windows()) return "";
  int64_t padded = 0, inside = 0;
  int32_t id = 0;
  for (int64_t i = 0; i < windows.count; ++i) {
    const std::span<const int32_t> row = windows.window(i);
    const int64_t ends =
        std::max(equal_run(row.begin(), row.end()), equal_run(row.rbegin(), row.rend()));
    if (ends < shortest_padding) continue;
    ++padded;
    inside += ends;
    id = equal_run(row.begin(), row.end()) == ends ? row.front() : row.back();
  }
  if (padded == 0) return "";
  return fmt::format(
      "{} of {} windows begin or end with one token again and again (the last of "
      "them with {}), {} of {} tokens in all; if that is padding, it counts as text",
      padded, windows.count, id, inside, windows.count * windows.seq_len);
}

std::vector<std::string> without_empty(std::vector<std::string> notes) {
  std::erase(notes, "");
  return notes;
}

}  // namespace

int64_t distinct_windows(const Windows& windows) {
  std::unordered_set<std::string_view> distinct;
  for (int64_t i = 0; i < windows.count; ++i) {
    const std::span<const std::byte> bytes = std::as_bytes(windows.window(i));
    distinct.emplace(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return static_cast<int64_t>(distinct.size());
}

void check_enough_windows(const Tokens& tokens, const Windows& windows) {
  if (!tokens.is_windows()) {
    const int64_t most = text_tokens(tokens) / windows.seq_len * most_windows_per_token;
    BITMILL_CHECK(windows.count <= most, UsageError,
                  fmt::format("a text of {} tokens is too short for {} windows of {}: it holds {} "
                              "side by side, and at most {} are drawn for each; use --samples {} "
                              "or less, a shorter --seq-len, or a longer text",
                              text_tokens(tokens), windows.count, windows.seq_len,
                              most / most_windows_per_token, most_windows_per_token, most));
  }
  const int64_t distinct = distinct_windows(windows);
  BITMILL_CHECK(
      2 * distinct >= windows.count, UsageError,
      fmt::format("only {} of the {} calibration windows are distinct, fewer than half: the others "
                  "are copies of them; {}",
                  distinct, windows.count,
                  tokens.is_windows() ? "give a token file without copies"
                                      : "use fewer --samples, a shorter --seq-len, or a longer "
                                        "text"));
}

std::vector<std::string> calibration_notes(const Tokens& tokens, const Windows& windows) {
  return without_empty(
      {copies_note(windows), overlap_note(tokens, windows), padding_note(tokens, windows)});
}

std::vector<std::string> evaluation_notes(const Tokens& tokens, const Windows& windows) {
  return without_empty({copies_note(windows), padding_note(tokens, windows)});
}

}  // namespace bitmill
