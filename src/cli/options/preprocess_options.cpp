#include "cli/options/preprocess_options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <climits>
#include <set>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "cli/options/corpus_options.hpp"
#include "cli/options/pictures.hpp"
#include "cli/options/run_folder_options.hpp"
#include "cli/options/shared_options.hpp"
#include "cli/report/quantity.hpp"
#include "data/corpus_begin.hpp"

namespace bitmill {
namespace {

constexpr std::array<std::pair<const char*, LinearRole>, 9> target_words = {
    {{"q", LinearRole::query},
     {"k", LinearRole::key},
     {"v", LinearRole::value},
     {"o", LinearRole::attention_output},
     {"gate", LinearRole::gate},
     {"up", LinearRole::up},
     {"down", LinearRole::down},
     {"fc1", LinearRole::up},
     {"fc2", LinearRole::down}}};

OptionGroup preprocess_input_options() {
  return {
      "what to do",
      {{"model", "DIR", "", "the 16-bit folder"},
       {"output-dir", "DIR", "", "where the merged folder goes; must be empty or not exist"},
       {"corpus", "FILES", "",
        "the text to train on, file,file,...: texts, JSON lines (.jsonl), both also as .gz or "
        ".zst, or token files; may be larger than memory"},
       {"evaluation", "FILES", "",
        "texts of an evaluation, file,file,...: no sequence that has 48 tokens in a row in common "
        "with them is trained on; another takes its place"},
       text_key_option(),
       {"packed", "DIR", "none: it is made first",
        "the base: a packed folder that was made from --model"},
       {"base-recipe", "NAME", "published",
        "how the base is made where --packed does not give one: a --recipe of bitmill quantize "
        "(the paper's own). It goes to the work folder's name with -base added, and stays there"},
       {"calib", "FILE", "", "calibration text of the base; not used with --packed"},
       {"samples", "N", "128", "calibration windows of the base; not used with --packed"},
       allow_key_option(),
       tensor_prefix_option(),
       config_option(),
       curve_option(),
       {"dry-run", "", "", "check everything, say what would be done, and stop"},
       {"ranks", "N", "those there are",
        "with --dry-run: what a run on N ranks would take, whether they are here or not. Then only "
        "the model's config.json is read, and --output-dir, --corpus and --calib are not needed"},
       json_option("the result")}};
}

OptionGroup adapter_options() {
  return {
      "the training",
      {{"rank", "N", "64", "rank of the adapters (paper)"},
       {"alpha", "X", "16", "B A is multiplied by alpha / rank (paper)"},
       {"dropout", "P", "0.1", "share of an adapter's inputs that a step leaves out (paper)"},
       {"targets", "NAMES", "q,k,v,gate,up,down",
        "linears that get an adapter: q, k, v, o, gate, up, down, or fc1, fc2 of OPT (paper: all "
        "but o; what a family lacks is left out of the default)"},
       {"lr", "RATE", "1e-4",
        "peak rate of AdamW (paper). Betas 0.9 and 0.999, epsilon 1e-8 and weight decay 0.01 are "
        "torch's"},
       {"warmup", "P", "0.05",
        "share of the steps in which the rate rises from 0; then it falls to 0 along a cosine "
        "(paper)"},
       {"steps", "N", "20,000 sequences (paper) / batch",
        "optimiser steps; a corpus that is too short is read again, in another order"},
       {"batch", "N", "2", "sequences of a step, over all ranks (paper: 2 on each device)"},
       {"seq-len", "N", "2048, or the model's context where that is shorter",
        "most tokens of a sequence"},
       {"loss", "ce|kl", "ce",
        "ce: cross-entropy of the text's next tokens (paper); kl: divergence from the original's "
        "distribution of them, which costs its forward pass (ours)"},
       {"pack", "", "",
        "full windows over the borders of documents, instead of a document in each sequence, cut "
        "at --seq-len and padded"},
       {"held-out", "RATIO", "0.01",
        "part of the text, at its end, that is not trained on; up to 64 sequences of it are "
        "measured in every twentieth of a run. It decides nothing"},
       {"seed", "N", "0", "of the adapters' first values, the order of the text and the dropout"}}};
}

OptionGroup preprocess_machine_options() {
  return {"the machine (these do not change the result, except backend and dtype)",
          {gpu_backend_option(),
           dtype_option(),
           threads_option(),
           {"stages", "N", "1",
            "groups of ranks that share the depth; the ranks of a group share the batch"},
           {"save-every", "TIME", "10m", "time between two states of a run: 90, 15m, 2h"}}};
}

std::set<LinearRole> read_targets(const Settings& settings, const std::vector<std::string>& words) {
  std::set<LinearRole> targets;
  std::vector<std::string> known;
  for (const auto& [word, role] : target_words) known.emplace_back(word);
  for (const std::string& word : words) {
    const auto found = std::ranges::find(known, word);
    BITMILL_CHECK(found != known.end(), UsageError,
                  fmt::format("{}: \"{}\" is no linear; the names are {}",
                              settings.origin("targets"), word, fmt::join(known, ", ")));
    targets.insert(target_words[static_cast<size_t>(found - known.begin())].second);
  }
  return targets;
}

void read_lora(const Settings& settings, PreprocessOptions& options) {
  LoraSettings& lora = options.lora;
  lora.rank = settings.whole_or("rank", lora.rank, 1, INT_MAX);
  lora.alpha = settings.rate_or("alpha", lora.alpha);
  lora.dropout = settings.rate_or("dropout", lora.dropout);
  lora.rate = settings.rate_or("lr", lora.rate);
  lora.seed = settings.seed_or("seed", lora.seed);
  options.named_targets = read_list(settings, "targets", "names of linears");
  if (!options.named_targets.empty()) lora.targets = read_targets(settings, options.named_targets);
}

void read_training(const Settings& settings, PreprocessOptions& options) {
  options.corpus = read_list(settings, "corpus", "names of files");
  options.text_key = settings.text_or("text-key", "");
  options.evaluation = read_list(settings, "evaluation", "names of files");
  options.warmup = settings.rate_or("warmup", options.warmup);
  options.steps = settings.whole_or("steps", options.steps, 1, INT_MAX);
  options.batch = settings.whole_or("batch", options.batch, 1, INT_MAX);
  options.seq_len = settings.whole_or("seq-len", options.seq_len, 2, INT_MAX);
  constexpr std::array losses = {TrainingLoss::cross_entropy, TrainingLoss::divergence};
  options.loss = losses[settings.word_or("loss", {"ce", "kl"}, 0)];
  options.pack = settings.is_on("pack");
  options.held_out = read_held_out(settings, options.held_out);
  if (settings.has("save-every")) {
    options.save_every_s = static_cast<double>(parse_seconds(settings.text_or("save-every", "")));
  }
}

// The quantization that makes the base. Its run goes on in a start that required one: which of the
// two runs is unfinished, only the folders know.
QuantizeRequest base_request(Files& files, const Settings& settings,
                             const PreprocessOptions& options) {
  settings.require({"calib"}, "preprocess without --packed");
  Settings base;
  base.add("output-dir", {options.packed, "the base of --work-dir"});
  base.add("work-dir", {options.packed + ".work", "the base of --work-dir"});
  base.add("recipe",
           {settings.text_or("base-recipe", "published"), settings.origin("base-recipe")});
  if (options.resume == Resume::never) base.add("resume", {"never", settings.origin("resume")});
  for (const char* name :
       {"model", "calib", "samples", "seq-len", "allow-key", "tensor-prefix", "backend", "dtype",
        "stream-memory", "scratch-dir", "time-limit", "allow-mixed-hardware"}) {
    if (settings.has(name)) base.add(name, {settings.text_or(name, ""), settings.origin(name)});
  }
  // The key is of the corpus; it is for the calibration, too, where that has JSON lines.
  const std::string calib = settings.text_or("calib", "");
  if (settings.has("text-key") && files.exists(calib) &&
      !key_where_lines(files, calib, options.text_key).empty()) {
    base.add("text-key", {settings.text_or("text-key", ""), settings.origin("text-key")});
  }
  return read_quantize_request(files, base);
}

}  // namespace

OptionGroups preprocess_option_groups() {
  return {preprocess_input_options(), adapter_options(), preprocess_machine_options(),
          run_folder_options_with_corpus()};
}

PreprocessRequest read_preprocess_request(Files& files, const Settings& settings) {
  PreprocessRequest request;
  request.dry_run = settings.is_on("dry-run");
  request.json = settings.is_on("json");
  request.planned_ranks = static_cast<int>(settings.whole_or("ranks", 0, 1, 1 << 20));
  BITMILL_CHECK(request.planned_ranks == 0 || request.dry_run, UsageError,
                fmt::format("{} has no effect without --dry-run: a run has as many ranks as are "
                            "started, by mpirun for example",
                            settings.origin("ranks")));
  if (request.planned_ranks == 0) {
    settings.require({"model", "output-dir", "corpus"}, "preprocess");
  } else {
    settings.require({"model"}, "preprocess --dry-run --ranks");
  }
  PreprocessOptions& options = request.options;
  options.model = settings.folder_or("model", "");
  options.reading = read_model_reading(settings);
  options.output_dir = settings.folder_or("output-dir", "");
  read_lora(settings, options);
  read_training(settings, options);
  const BackendChoice choice = read_backend_choice(settings);
  options.backend = choice.backend;
  options.dtype = choice.dtype;
  request.backend_note = choice.note;
  options.stages = static_cast<int>(settings.whole_or("stages", options.stages, 1, INT_MAX));
  if (request.planned_ranks > 0) {
    options.stream_memory = settings.bytes_or("stream-memory", options.stream_memory);
    return request;
  }
  request.page = settings.text_or("timeline", "");
  take_run_folder(settings, request);
  options.corpus_dir = corpus_folder(files, options.work_dir, options.scratch_dir);
  options.packed = settings.folder_or("packed", "");
  if (options.packed.empty()) {
    options.packed = options.work_dir + "-base";
    request.base = base_request(files, settings, options);
  } else {
    for (const char* name : {"base-recipe", "calib", "samples"}) {
      BITMILL_CHECK(!settings.has(name), UsageError,
                    fmt::format("{} and --packed exclude each other: it is for making the base",
                                settings.origin(name)));
    }
  }
  return request;
}

}  // namespace bitmill
