#pragma once
// Whether windows are enough and what they seem: the same ones many times, padding among the text.

#include <cstdint>
#include <string>
#include <vector>

#include "data/token_text.hpp"
#include "data/windows.hpp"

namespace bitmill {

// How many windows differ from one another.
int64_t distinct_windows(const Windows& windows);

// UsageError where calibration on these windows would not be what was asked for:
//  - fewer than half of them are distinct: the rest would be copies, each of which counts like a
//    sample of its own;
//  - they come from a text that holds fewer than a sixteenth as many side by side: a token would be
//    in more than sixteen windows on average, and every epoch would be sixteen passes over the
//    text.
void check_enough_windows(const Tokens& tokens, const Windows& windows);

// What a user should hear of windows for calibration, a sentence each: copies, windows that share
// tokens because the text is short, and rows that begin or end in one repeated token.
std::vector<std::string> calibration_notes(const Tokens& tokens, const Windows& windows);
// The same of windows for evaluation. They never share tokens.
std::vector<std::string> evaluation_notes(const Tokens& tokens, const Windows& windows);

}  // namespace bitmill
