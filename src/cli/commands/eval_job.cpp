#include "cli/commands/eval_job.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/options/corpus_options.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/progress.hpp"
#include "data/token_text.hpp"
#include "data/window_check.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/checks/place_check.hpp"

namespace bitmill {
namespace {

constexpr int64_t longest_default = 2048;  // the published evaluation's

// min(2048, the model's context); where the corpus is a file of windows, their length.
int64_t default_seq_len(const Tokens& tokens, const ModelConfig& config) {
  return tokens.is_windows() ? tokens.window_len
                             : std::min(longest_default, longest_sequence(config));
}

}  // namespace

OptionGroups eval_option_groups() {
  return {
      {"what to do",
       {{"model", "DIR", "", "a 16-bit or a packed folder"},
        {"corpus", "FILE", "", std::string("text to score: ") + corpus_kinds},
        text_key_option(),
        window_bos_option(),
        {"reference", "DIR", "", "a model to compare with, such as the 16-bit original"},
        {"seq-len", "N", "2048, or the model's context where that is shorter",
         "tokens of a window"},
        {"max-windows", "N", "all", "score the first N windows only"},
        allow_key_option(),
        tensor_prefix_option(),
        config_option(),
        json_option("the figures")}},
      {"the machine (these do not change the figures)",
       {threads_option(),
        {"stream-memory", "BYTES", "no limit",
         "memory of a rank for activations between blocks; the rest goes to --scratch-dir"},
        {"scratch-dir", "DIR", "$TMPDIR, or /tmp", "a folder for what exceeds --stream-memory"}}}};
}

std::string temporary_folder() {
  const std::string given = process_environment()("TMPDIR").value_or("");
  return given.empty() ? "/tmp" : given;
}

EvalRequest read_eval_request(const Settings& settings) {
  settings.require({"model", "corpus"}, "eval");
  return {.model = settings.folder_or("model", ""),
          .corpus = settings.text_or("corpus", ""),
          .text_key = settings.text_or("text-key", ""),
          .window_bos = read_window_bos(settings),
          .reference = settings.folder_or("reference", ""),
          .reading = read_model_reading(settings),
          .seq_len = settings.whole_or("seq-len", 0, 2, INT64_MAX),
          .max_windows = settings.whole_or("max-windows", 0, 1, INT64_MAX),
          .stream_memory = settings.bytes_or("stream-memory", 0),
          .scratch_dir = settings.text_or("scratch-dir", temporary_folder()),
          .json = settings.is_on("json")};
}

void EvalJob::check_places(Files& files) const {
  if (request_.stream_memory == 0) return;  // nothing is written
  throw_place_problem(folder_problem(files, "--scratch-dir", request_.scratch_dir));
}

void EvalJob::check(const CheckContext& context) {
  check_places(context.files);
  // A flipped bit would change the figures a little, and nobody would notice.
  for (const std::string& folder : {request_.model, request_.reference}) {
    if (!folder.empty() && is_packed_folder(context.files, folder)) {
      verify_packed_folder(context.files, folder, {});
    }
  }
  model_ = std::make_unique<SourceModel>(context.files, request_.model, request_.reading);
  std::vector<const SourceModel*> models = {model_.get()};
  if (!request_.reference.empty()) {
    reference_ = std::make_unique<SourceModel>(context.files, request_.reference, request_.reading);
    models.push_back(reference_.get());
  }
  check_is_needed(request_.reading, models);
  const ModelConfig& config = model_->config();
  const Tokens tokens = read_tokens(context.files, request_.corpus, request_.model,
                                    config.vocab_size, request_.text_key);
  const int64_t seq_len = request_.seq_len > 0 ? request_.seq_len : default_seq_len(tokens, config);
  check_sequence_length(config, request_.model, seq_len);
  if (reference_) check_sequence_length(reference_->config(), request_.reference, seq_len);
  windows_ = evaluation_windows(tokens, seq_len, request_.max_windows);
  notes_ = evaluation_notes(tokens, windows_);
  if (const auto bos =
          choose_window_bos(request_.window_bos, tokens, context.files, request_.model)) {
    begin_windows_with(*bos, windows_);
  } else if (const std::string note = missing_bos_note(tokens, windows_); !note.empty()) {
    notes_.push_back(note);
  }
}

Evaluation EvalJob::run(RunContext& context, const std::string& what) {
  return run(context, what, *model_, reference_.get());
}

Evaluation EvalJob::run(RunContext& context, const std::string& what, const SourceModel& model,
                        const SourceModel* reference) {
  for (const std::string& note : std::exchange(notes_, {})) {
    context.console.say(fmt::format("{}: note: {}", what, note));
  }
  StreamBudget budget(
      context.files, request_.stream_memory > 0 ? request_.stream_memory : INT64_MAX,
      join_path(request_.scratch_dir,
                fmt::format("bitmill-eval-{}-{}", context.comm.rank(), ::getpid())));
  for (const std::string& note : model.notes()) {
    context.console.say(fmt::format("{}: note: {}", what, note));
  }
  BlockProgress progress(context.console, what, steady_clock());
  return evaluate(
      model, reference, windows_, budget, context.comm, context.pool,
      [&](int64_t done, int64_t total) {
        context.activity.set(fmt::format("{}, {} of {} blocks done", what, done, total));
        progress(done, total);
      });
}

nlohmann::ordered_json evaluation_json(const EvalRequest& request, const Evaluation& evaluation) {
  nlohmann::ordered_json json = {{"model", request.model},
                                 {"perplexity", evaluation.perplexity},
                                 {"tokens", evaluation.tokens},
                                 {"windows", evaluation.windows},
                                 {"seq_len", evaluation.seq_len}};
  if (evaluation.divergence) {
    json["reference"] = request.reference;
    json["kl"] = evaluation.divergence->kl;
    json["top1"] = evaluation.divergence->top1;
  }
  return json;
}

}  // namespace bitmill
