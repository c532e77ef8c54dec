#include "cli/options/tune_options.hpp"

#include <fmt/format.h>

#include <climits>
#include <string>

#include "base/error.hpp"
#include "cli/options/corpus_options.hpp"
#include "cli/options/run_folder_options.hpp"
#include "cli/options/shared_options.hpp"

namespace bitmill {
namespace {

OptionGroup tune_input_options() {
  return {
      "what to do",
      {{"model", "DIR", "", "the packed folder"},
       {"reference", "DIR", "", "the 16-bit folder it was made from"},
       {"output-dir", "DIR", "", "where the tuned folder goes; must be empty or not exist"},
       {"calib", "FILE", "", std::string("calibration text: ") + corpus_kinds},
       {"corpus", "FILES", "",
        "texts to train on, commas between them (text, JSON lines, or token files; .gz and .zst "
        "of texts), of any size: --train-windows of them, in an order that follows from "
        "--shuffle-seed or --seed; then --calib only gives the windows that are held out, and text "
        "that these have is not trained on"},
       text_key_option(),
       allow_key_option(),
       tensor_prefix_option(),
       config_option(),
       {"dry-run", "", "", "check everything, say what would be done, and stop"},
       json_option("the result")}};
}

OptionGroup tuning_options() {
  return {
      "the tuning",
      {{"samples", "N", "128", "calibration windows"},
       {"seq-len", "N", "2048, or the model's context where that is shorter", "tokens of a window"},
       {"seed", "N", "0", "decides the positions of the calibration windows in a text"},
       shuffle_seed_option(),
       window_bos_option(),
       {"train-windows", "N", "4096", "windows of the corpus that are trained on"},
       {"portion", "N", "512",
        "so many windows of the corpus at most are one epoch: after it the model is measured, and "
        "the state saved"},
       {"epochs", "N", "6, and 1 with --corpus", "passes over the windows, at most"},
       {"batch", "N", "4", "windows per optimiser step, over all ranks"},
       {"lr", "RATE", "2e-3", "learning rate of the scales' factors; falls to 0 along a cosine"},
       {"learn-signs", "", "",
        "train every sign, too, with the scales: far better, with more work, memory and state"},
       {"lr-sign", "RATE", "3e-3",
        "learning rate of the signs' latents; falls to 0 along a cosine"},
       {"sign-state", "32|16", "32",
        "bits of each latent and moment in the state on disk; 16 rounds them after every epoch"},
       {"sign-blocks", "N", "all",
        "train the signs of N blocks at a time, each group in a share of the steps: less memory "
        "and state, and another, worse result"},
       {"held-out", "RATIO", "0.1",
        "share of the windows that are not trained on; they decide which epoch is kept. They come "
        "from the last part of a text, or are the last rows of a token file. The packed model may "
        "have been calibrated on the same text: another --calib than that of quantize, or another "
        "--seed, makes the decision more honest"}}};
}

OptionGroup tune_machine_options() {
  return {"the machine (these do not change the result, except backend and dtype)",
          {gpu_backend_option(),
           dtype_option(),
           threads_option(),
           {"stages", "N", "1",
            "groups of ranks that share the depth; the ranks of a group share the batch"}}};
}

void take_corpus(const Settings& settings, TuneOptions& options) {
  options.corpus = read_list(settings, "corpus", "names of files");
  options.train_windows = settings.whole_or("train-windows", options.train_windows, 1, INT64_MAX);
  options.portion = settings.whole_or("portion", options.portion, 1, INT64_MAX);
  for (const char* option : {"train-windows", "portion"}) {
    BITMILL_CHECK(!options.corpus.empty() || !settings.has(option), UsageError,
                  fmt::format("{} has no effect without --corpus", settings.origin(option)));
  }
}

}  // namespace

OptionGroups tune_option_groups() {
  return {tune_input_options(), tuning_options(), tune_machine_options(),
          run_folder_options_with_corpus()};
}

TuneRequest read_tune_request(Files& files, const Settings& settings) {
  settings.require({"model", "reference", "output-dir", "calib"}, "tune");
  TuneRequest request;
  TuneOptions& options = request.options;
  options.model = settings.folder_or("model", "");
  options.reference = settings.folder_or("reference", "");
  options.reading = read_model_reading(settings);
  options.output_dir = settings.folder_or("output-dir", "");
  options.samples = settings.whole_or("samples", options.samples, 2, INT64_MAX);
  options.samples_by_hand = settings.has("samples");
  options.seq_len = settings.whole_or("seq-len", options.seq_len, 2, INT64_MAX);
  take_calibration(settings, options);
  take_corpus(settings, options);
  options.epochs = static_cast<int>(
      settings.whole_or("epochs", options.corpus.empty() ? options.epochs : 1, 1, INT_MAX));
  options.batch = settings.whole_or("batch", options.batch, 1, INT64_MAX);
  options.rate = settings.rate_or("lr", options.rate);
  options.learn_signs = settings.is_on("learn-signs");
  options.sign_rate = settings.rate_or("lr-sign", options.sign_rate);
  options.half_latents = settings.word_or("sign-state", {"32", "16"}, 0) == 1;
  if (settings.has("sign-blocks")) {
    options.sign_blocks = settings.whole_or("sign-blocks", 1, 1, INT64_MAX);
  }
  for (const char* option : {"lr-sign", "sign-state", "sign-blocks"}) {
    BITMILL_CHECK(options.learn_signs || !settings.has(option), UsageError,
                  fmt::format("{} has no effect without --learn-signs", settings.origin(option)));
  }
  options.held_out = read_held_out(settings, options.held_out);
  const BackendChoice choice = read_backend_choice(settings);
  options.backend = choice.backend;
  options.dtype = choice.dtype;
  request.backend_note = choice.note;
  options.stages = static_cast<int>(settings.whole_or("stages", options.stages, 1, INT_MAX));
  take_run_folder(settings, request);
  options.corpus_dir = corpus_folder(files, options.work_dir, options.scratch_dir);
  request.dry_run = settings.is_on("dry-run");
  request.json = settings.is_on("json");
  return request;
}

}  // namespace bitmill
