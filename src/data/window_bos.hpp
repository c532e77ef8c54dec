#pragma once
// A BOS at the beginning of every window. A tokenizer that adds a BOS adds one to the whole text,
// so windows from its middle begin without, in other tools as here. --window-bos changes that.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/files.hpp"
#include "data/token_text.hpp"
#include "data/windows.hpp"

namespace bitmill {

// off: windows are cut from the text as it is. on: each begins with the BOS that the tokenizer puts
// before a text. automatic: on where the tokenizer puts one there.
enum class WindowBos { off, on, automatic };

std::string_view word_of(WindowBos wish);  // "off", "on", "auto"

// The id that every window is to begin with; nothing: windows stay as they are. `model_folder`
// gives the tokenizer, which is read where `tokens` come from a file of ids. UsageError for `on`
// where it can have no effect: the tokenizer puts no token before a text, or more than one, or the
// tokens are ready windows.
std::optional<int32_t> choose_window_bos(WindowBos wish, const Tokens& tokens, Files& files,
                                         const std::string& model_folder);

// The first token of every window is replaced: a window keeps its length.
void begin_windows_with(int32_t id, Windows& windows);

// What a user should hear: windows begin without the BOS that the tokenizer adds to a text. Empty
// where this is not so, or not known.
std::string missing_bos_note(const Tokens& tokens, const Windows& windows);

}  // namespace bitmill
