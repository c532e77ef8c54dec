#include "data/window_bos.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "base/error.hpp"
#include "data/tokenizer.hpp"

namespace bitmill {

std::string_view word_of(WindowBos wish) {
  switch (wish) {
    case WindowBos::off:
      return "off";
    case WindowBos::on:
      return "on";
    case WindowBos::automatic:
      return "auto";
  }
  return {};
}

std::optional<int32_t> choose_window_bos(WindowBos wish, const Tokens& tokens, Files& files,
                                         const std::string& model_folder) {
  if (wish == WindowBos::off) return std::nullopt;
  if (tokens.is_windows()) {
    BITMILL_CHECK(wish == WindowBos::automatic, UsageError,
                  "--window-bos on has no effect: the file holds ready windows, which are taken as "
                  "they are; put the BOS into the file");
    return std::nullopt;
  }
  const std::vector<int32_t> before = tokens.tokenized_here
                                          ? tokens.before
                                          : open_tokenizer(files, model_folder)->ids_before_text();
  if (before.size() == 1) return before.front();
  if (before.empty() && wish == WindowBos::automatic) return std::nullopt;
  throw UsageError(
      before.empty() ? fmt::format("--window-bos on: the tokenizer of {} puts no token before a "
                                   "text, so the model expects none; leave the option out",
                                   model_folder)
                     : fmt::format("--window-bos: the tokenizer of {} puts the tokens {} before a "
                                   "text, and only one is understood; leave the option out, or "
                                   "give a file of ready windows",
                                   model_folder, fmt::join(before, ", ")));
}

void begin_windows_with(int32_t id, Windows& windows) {
  windows.bos = id;
  for (int64_t i = 0; i < windows.count; ++i) {
    windows.ids[static_cast<size_t>(i * windows.seq_len)] = id;
  }
}

std::string missing_bos_note(const Tokens& tokens, const Windows& windows) {
  if (tokens.is_windows() || tokens.before.size() != 1) return "";
  int64_t without = 0;
  for (int64_t i = 0; i < windows.count; ++i) {
    if (windows.window(i).front() != tokens.before.front()) ++without;
  }
  if (without == 0) return "";
  return fmt::format(
      "the tokenizer begins a text with the token {}; {} of {} windows come from "
      "the middle and begin without it (--window-bos on puts it there)",
      tokens.before.front(), without, windows.count);
}

}  // namespace bitmill
