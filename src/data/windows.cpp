#include "data/windows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/random.hpp"

namespace bitmill {
namespace {

int64_t size_of(const Tokens& tokens) { return static_cast<int64_t>(tokens.ids.size()); }

void check_at_least_one(const char* option, int64_t value) {
  BITMILL_CHECK(value >= 1, UsageError,
                fmt::format("{} is {}, and must be at least 1", option, value));
}

void check_text_length(const Tokens& tokens, int64_t seq_len) {
  BITMILL_CHECK(size_of(tokens) >= seq_len, UsageError,
                fmt::format("a text of {} tokens is shorter than one window of {}: use --seq-len "
                            "{} or less, or a longer text",
                            size_of(tokens), seq_len, size_of(tokens)));
}

void check_text_for_two(const Tokens& tokens, int64_t seq_len) {
  const int64_t longest = size_of(tokens) / 2;
  BITMILL_CHECK(seq_len <= longest, UsageError,
                fmt::format("a text of {} tokens is too short for two windows of {}, one to train "
                            "on and one that is held out: use --seq-len {} or less, or a longer "
                            "text",
                            size_of(tokens), seq_len, longest));
}

void check_window_length(const Tokens& tokens, int64_t seq_len) {
  BITMILL_CHECK(tokens.window_len >= seq_len, UsageError,
                fmt::format("the token file has windows of {} tokens, shorter than the {} asked "
                            "for: use --seq-len {} or less, or another file",
                            tokens.window_len, seq_len, tokens.window_len));
}

// 2^30 tokens of calibration are thousands of times what the method was published with, and 4 GiB
// on every rank: more must be a typing error.
constexpr int64_t most_tokens = int64_t{1} << 30;

void check_amount(int64_t count, int64_t seq_len) {
  BITMILL_CHECK(
      count <= most_tokens / seq_len, UsageError,
      fmt::format("--samples {} of {} tokens are more than {} tokens in all, the most that "
                  "calibration takes: use --samples {} or less",
                  count, seq_len, most_tokens, most_tokens / seq_len));
}

void append_window(const Tokens& tokens, int64_t begin, Windows& windows) {
  const auto first = tokens.ids.begin() + begin;
  windows.ids.insert(windows.ids.end(), first, first + windows.seq_len);
}

Windows first_rows(const Tokens& tokens, int64_t count, int64_t seq_len) {
  check_window_length(tokens, seq_len);
  BITMILL_CHECK(tokens.windows >= count, UsageError,
                fmt::format("the token file has {} windows, fewer than the {} asked for: use "
                            "--samples {} or less, or another file",
                            tokens.windows, count, tokens.windows));
  Windows windows{count, seq_len, {}, {}};
  for (int64_t i = 0; i < count; ++i) append_window(tokens, i * tokens.window_len, windows);
  return windows;
}

// Draws windows [first, last) from tokens [begin, end), at positions that follow from the seed.
void draw_windows(const Tokens& tokens, int64_t begin, int64_t end, int64_t first, int64_t last,
                  uint64_t seed, Windows& windows) {
  const auto positions = static_cast<uint64_t>(end - begin - windows.seq_len + 1);
  for (int64_t i = first; i < last; ++i) {
    const uint64_t position =
        random_below(seed, RandomPurpose::calibration_windows, static_cast<uint64_t>(i), positions);
    append_window(tokens, begin + static_cast<int64_t>(position), windows);
  }
}

}  // namespace

std::span<const int32_t> Windows::window(int64_t i) const {
  return std::span(ids).subspan(static_cast<size_t>(i * seq_len), static_cast<size_t>(seq_len));
}

std::string Windows::hash() const {
  Hasher hasher;
  const std::array<int64_t, 2> shape = {count, seq_len};
  hasher.add(std::as_bytes(std::span(shape)));
  hasher.add(std::as_bytes(std::span(ids)));
  return hasher.hex();
}

Windows calibration_windows(const Tokens& tokens, int64_t count, int64_t seq_len, uint64_t seed) {
  check_at_least_one("--samples", count);
  check_at_least_one("--seq-len", seq_len);
  if (tokens.is_windows()) return first_rows(tokens, count, seq_len);
  check_text_length(tokens, seq_len);
  check_amount(count, seq_len);
  Windows windows{count, seq_len, {}, {}};
  draw_windows(tokens, 0, size_of(tokens), 0, count, seed, windows);
  return windows;
}

Windows parted_windows(const Tokens& tokens, int64_t count, int64_t held_out, int64_t seq_len,
                       uint64_t seed) {
  assert(0 < held_out && held_out < count);
  check_at_least_one("--seq-len", seq_len);
  if (tokens.is_windows()) return first_rows(tokens, count, seq_len);
  check_text_for_two(tokens, seq_len);
  check_amount(count, seq_len);
  // floor(size * held_out / count), without overflow.
  const int64_t size = size_of(tokens);
  const int64_t share = size / count * held_out + size % count * held_out / count;
  const int64_t cut = size - std::clamp(share, seq_len, size - seq_len);
  Windows windows{count, seq_len, {}, {}};
  draw_windows(tokens, 0, cut, 0, count - held_out, seed, windows);
  draw_windows(tokens, cut, size, count - held_out, count, seed, windows);
  return windows;
}

// Fisher and Yates: every order is equally likely.
void shuffle_windows(Windows& windows, int64_t count, uint64_t seed) {
  assert(0 <= count && count <= windows.count);
  const auto row = [&](int64_t i) { return windows.ids.begin() + i * windows.seq_len; };
  for (int64_t i = count - 1; i > 0; --i) {
    const auto j =
        static_cast<int64_t>(random_below(seed, RandomPurpose::calibration_order,
                                          static_cast<uint64_t>(i), static_cast<uint64_t>(i) + 1));
    if (j != i) std::swap_ranges(row(i), row(i + 1), row(j));
  }
}

Windows evaluation_windows(const Tokens& tokens, int64_t seq_len, int64_t max_windows) {
  check_at_least_one("--seq-len", seq_len);
  int64_t count = 0;
  int64_t stride = seq_len;
  if (tokens.is_windows()) {
    check_window_length(tokens, seq_len);
    count = tokens.windows;
    stride = tokens.window_len;
  } else {
    check_text_length(tokens, seq_len);
    count = size_of(tokens) / seq_len;
  }
  if (max_windows > 0) count = std::min(count, max_windows);
  Windows windows{count, seq_len, {}, {}};
  for (int64_t i = 0; i < count; ++i) append_window(tokens, i * stride, windows);
  return windows;
}

}  // namespace bitmill
