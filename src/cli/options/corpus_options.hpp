#pragma once
// Options of every command that reads a text or a token file.

#include <string>

#include "base/files.hpp"
#include "cli/options/option_list.hpp"
#include "data/window_bos.hpp"
#include "method/settings.hpp"

namespace bitmill {

// What --calib and --corpus take, for the help.
inline constexpr const char* corpus_kinds =
    "a text, JSON lines (.jsonl), or a token file (.safetensors with input_ids)";

Option text_key_option();
Option window_bos_option();
Option shuffle_seed_option();

WindowBos read_window_bos(const Settings& settings);

// The ratio of --held-out; `normal` where it is not given.
ExactRatio read_held_out(const Settings& settings, const ExactRatio& normal);
// Where a job keeps the index of its corpus, and what it unpacks: a folder of this run alone, which
// the job removes at its end; never in the run folder, where nothing else may lie.
std::string corpus_folder(Files& files, const std::string& work_dir,
                          const std::string& scratch_dir);

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
