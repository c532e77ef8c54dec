#pragma once
// Options of every command that reads a text or a token file.

#include "cli/options/option_list.hpp"
#include "data/window_bos.hpp"

namespace bitmill {

// What --calib and --corpus take, for the help.
inline constexpr const char* corpus_kinds =
    "a text, JSON lines (.jsonl), or a token file (.safetensors with input_ids)";

Option text_key_option();
Option window_bos_option();
Option shuffle_seed_option();

WindowBos read_window_bos(const Settings& settings);

// Fills what the options of jobs with a calibration have in common.
template <class Options>
void take_calibration(const Settings& settings, Options& options) {
  options.calib = settings.text_or("calib", "");
  options.text_key = settings.text_or("text-key", "");
  options.window_bos = read_window_bos(settings);
  options.seed = settings.seed_or("seed", options.seed);
  options.seed_by_hand = settings.has("seed");
  if (settings.has("shuffle-seed")) options.shuffle_seed = settings.seed_or("shuffle-seed", 0);
}

}  // namespace bitmill
