#include "cli/commands/eval_job.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "cli/commands/decoder_job.hpp"
#include "cli/commands/job_control.hpp"
#include "cli/options/corpus_options.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/progress.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "cli/report/task_report.hpp"
#include "data/token_text.hpp"
#include "data/tokenizer.hpp"
#include "data/window_check.hpp"
#include "eval/text_scores.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/checks/place_check.hpp"
#include "product/cpu_kernel.hpp"

namespace bitmill {
namespace {

// The default of --scratch-dir: where activations go that do not fit --stream-memory.
std::string temporary_folder() {
  const std::string given = process_environment()("TMPDIR").value_or("");
  return given.empty() ? "/tmp" : given;
}

constexpr int64_t longest_default = 2048;  // the published evaluation's

// min(2048, the model's context); where the corpus is a file of windows, their length.
int64_t default_seq_len(const Tokens& tokens, const ModelConfig& config) {
  return tokens.is_windows() ? tokens.window_len
                             : std::min(longest_default, longest_sequence(config));
}

Option eval_activations_option() {
  return {"activations", "int8|int16|float32", "none of them",
          "compute as bitmill generate does, on the stored bits of a packed folder, and take the "
          "input of packed linears so precisely; otherwise weights are widened to float32, one "
          "block at a time"};
}

void check_corpus_options(const Settings& settings) {
  BITMILL_CHECK(settings.has("corpus") || settings.has("tasks"), UsageError,
                "bitmill eval needs --corpus FILE, --tasks FILE,... or both");
  if (settings.has("corpus")) {
    settings.require({"corpus"}, "eval");
    return;
  }
  for (const char* name : {"text-key", "window-bos", "reference", "seq-len", "max-windows"}) {
    BITMILL_CHECK(!settings.has(name), UsageError,
                  fmt::format("{} has no effect without --corpus", settings.origin(name)));
  }
}

BackendChoice read_eval_backend(const Settings& settings) {
  if (!settings.has("activations")) return read_backend_choice(settings);
  for (const char* name : {"backend", "dtype"}) {
    BITMILL_CHECK(!settings.has(name), UsageError,
                  fmt::format("{} has no effect with --activations, which computes on this CPU",
                              settings.origin(name)));
  }
  return {};
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
        eval_activations_option(),
        allow_key_option(),
        tensor_prefix_option(),
        config_option(),
        json_option("the figures")}},
      {"tasks", task_options()},
      {"the machine (these do not change the figures, except backend and dtype)",
       {gpu_backend_option(),
        dtype_option(),
        threads_option(),
        {"stream-memory", "BYTES", "no limit",
         "memory of a rank for activations between blocks; the rest goes to --scratch-dir"},
        {"scratch-dir", "DIR", "$TMPDIR, or /tmp", "a folder for what exceeds --stream-memory"}}}};
}

EvalRequest read_eval_request(const Settings& settings) {
  settings.require({"model"}, "eval");
  check_corpus_options(settings);
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
          .tasks = read_task_wishes(settings),
          .products = settings.has("activations")
                          ? std::optional<ProductChoice>(read_product_choice(settings))
                          : std::nullopt,
          .backend = read_eval_backend(settings),
          .json = settings.is_on("json")};
}

void EvalJob::check_places(Files& files) const {
  if (request_.stream_memory == 0) return;  // nothing is written
  throw_place_problem(folder_problem(files, "--scratch-dir", request_.scratch_dir));
}

void EvalJob::check(const CheckContext& context) {
  check_places(context.files);
  if (!request_.backend.note.empty()) notes_.push_back(request_.backend.note);
  // A flipped bit would change the figures a little, and nobody would notice.
  for (const std::string& folder : {request_.model, request_.reference}) {
    if (!folder.empty() && is_packed_folder(context.files, folder)) {
      verify_packed_folder(context.files, folder, {});
    }
  }
  if (request_.products) {
    check_has_effect(*request_.products, request_.model,
                     is_packed_folder(context.files, request_.model));
    kernel_of_this_machine();  // throws where the one that is asked for cannot run
  }
  model_ = std::make_unique<SourceModel>(context.files, request_.model, request_.reading);
  std::vector<const SourceModel*> models = {model_.get()};
  if (!request_.reference.empty()) {
    reference_ = std::make_unique<SourceModel>(context.files, request_.reference, request_.reading);
    models.push_back(reference_.get());
  }
  check_is_needed(request_.reading, models);
  if (!request_.corpus.empty()) check_corpus(context.files);
  if (!request_.tasks.files.empty()) check_tasks(context.files);
}

void EvalJob::check_corpus(Files& files) {
  const ModelConfig& config = model_->config();
  const Tokens tokens =
      read_tokens(files, request_.corpus, request_.model, config.vocab_size, request_.text_key);
  const int64_t seq_len = request_.seq_len > 0 ? request_.seq_len : default_seq_len(tokens, config);
  check_sequence_length(config, request_.model, seq_len);
  if (reference_) check_sequence_length(reference_->config(), request_.reference, seq_len);
  windows_ = evaluation_windows(tokens, seq_len, request_.max_windows);
  notes_ = evaluation_notes(tokens, windows_);
  if (const auto bos = choose_window_bos(request_.window_bos, tokens, files, request_.model)) {
    begin_windows_with(*bos, windows_);
  } else if (const std::string note = missing_bos_note(tokens, windows_); !note.empty()) {
    notes_.push_back(note);
  }
}

void EvalJob::check_tasks(Files& files) {
  const auto tokenizer = open_tokenizer(files, request_.model);
  const int64_t longest = longest_sequence(model_->config());
  bool has_query = false;
  for (const std::string& path : request_.tasks.files) {
    const std::string bytes = read_text(files, path);
    task_hashes_.push_back(hash_hex(std::as_bytes(std::span(bytes))));
    const Task& task = tasks_.emplace_back(read_task(files, path, request_.tasks.reading));
    has_query = has_query || task.kind == TaskKind::choices;
    TaskTexts texts = tokenize_task(task, *tokenizer,
                                    {.special = request_.tasks.bos,
                                     .longest = longest,
                                     .vocab_size = model_->config().vocab_size});
    if (texts.cut > 0) {
      notes_.push_back(
          fmt::format("{}: {} of {} texts are longer than the {} tokens that the "
                      "model can read, and lose the beginning of their context",
                      path, texts.cut, texts.texts.size(), longest));
    }
    std::ranges::move(texts.texts, std::back_inserter(task_texts_));
  }
  BITMILL_CHECK(has_query || request_.tasks.reading.cue.empty(), UsageError,
                "--task-cue has no effect: none of the files of --tasks has queries");
}

void EvalJob::say_notes(Console& console, const std::string& what, const SourceModel& model) {
  std::vector<std::string> notes = std::exchange(notes_, {});
  notes.insert(notes.end(), model.notes().begin(), model.notes().end());
  for (const std::string& note : notes) console.say(fmt::format("{}: note: {}", what, note));
}

std::unique_ptr<ProductForward> EvalJob::load_products(RunContext& context,
                                                       const std::string& what) const {
  if (!request_.products) return nullptr;
  const CpuKernel& kernel = kernel_of_this_machine();
  context.console.say(fmt::format("{}: computes with {} activations, kernel {}", what,
                                  activations_name(request_.products->activations), kernel.name));
  if (!slow_kernel_note().empty()) {
    context.console.say(fmt::format("{}: note: {}", what, slow_kernel_note()));
  }
  return std::make_unique<ProductForward>(context.files, *model_, request_.products->with(kernel),
                                          context.pool);
}

std::string EvalJob::subject() const {
  Hasher hasher;
  hasher.add_text(windows_.hash());
  for (const std::string& text : task_hashes_) hasher.add_text(text);
  for (const ScoredText& text : task_texts_) {
    hasher.add_text(fmt::format("{} {}", text.ids.size(), text.context));
    hasher.add(std::as_bytes(std::span(text.ids)));
  }
  hasher.add_text(request_.backend.backend);
  hasher.add_text(dtype_word(request_.backend.dtype));
  return hasher.hex();
}

EvalResult EvalJob::run(RunContext& context, const std::string& what) {
  say_notes(context.console, what, *model_);
  const auto products = load_products(context, what);
  return run(context, what, EvalModel(*model_, products.get()), reference_.get());
}

EvalResult EvalJob::run(RunContext& context, const std::string& what, const SourceModel& model,
                        const SourceModel* reference) {
  say_notes(context.console, what, model);
  return run(context, what, EvalModel(model), reference);
}

EvalResult EvalJob::run(RunContext& context, const std::string& what, const EvalModel& model,
                        const SourceModel* reference) {
  StreamBudget budget(
      context.files, request_.stream_memory > 0 ? request_.stream_memory : INT64_MAX,
      join_path(request_.scratch_dir,
                fmt::format("bitmill-eval-{}-{}", context.comm.rank(), ::getpid())));
  const std::string unit = model.whole != nullptr ? "part" : "block";
  const auto progress_of = [&](const std::string& work) -> EvalProgress {
    auto shown = std::make_shared<BlockProgress>(context.console, work, steady_clock(), unit);
    return [this, &context, work, unit, shown](int64_t done, int64_t total) {
      context.activity.set(fmt::format("{}, {} of {} {}s done", work, done, total, unit));
      (*shown)(done, total);
      between_blocks_();
    };
  };
  const auto made = take_device(context, request_.backend.backend, request_.backend.dtype);
  const Device& device = *made;
  if (model.whole == nullptr) {
    context.console.say(
        fmt::format("{}: {}", what, backend_words(request_.backend.backend, device)));
  }
  EvalResult result;
  if (!request_.corpus.empty()) {
    result.evaluation =
        evaluate(model, reference, windows_, budget, context.comm, device, progress_of(what));
  }
  if (!tasks_.empty()) {
    result.tasks = score_tasks(context, model, budget, device, progress_of(what + ", tasks"));
  }
  return result;
}

std::vector<TaskScore> EvalJob::score_tasks(RunContext& context, const EvalModel& model,
                                            StreamBudget& budget, const Device& device,
                                            const EvalProgress& progress) const {
  const std::vector<TextScore> scores =
      score_texts(model, task_texts_, budget, context.comm, device, progress);
  std::span<const TextScore> rest(scores);
  std::vector<TaskScore> tasks;
  for (const Task& task : tasks_) {
    size_t texts = 0;
    for (const TaskItem& item : task.items) texts += item.pairs.size();
    tasks.push_back(summarize_task(task, rest.first(texts)));
    rest = rest.subspan(texts);
  }
  return tasks;
}

nlohmann::ordered_json evaluation_json(const EvalRequest& request, const EvalResult& result) {
  nlohmann::ordered_json json = {{"model", request.model}};
  if (result.evaluation) {
    json["perplexity"] = result.evaluation->perplexity;
    json["tokens"] = result.evaluation->tokens;
    json["windows"] = result.evaluation->windows;
    json["seq_len"] = result.evaluation->seq_len;
    if (result.evaluation->divergence) {
      json["reference"] = request.reference;
      json["kl"] = result.evaluation->divergence->kl;
      json["top1"] = result.evaluation->divergence->top1;
    }
  }
  if (request.products) {
    json["activations"] = activations_name(request.products->activations);
    json["kernel"] = kernel_of_this_machine().name;
  } else {
    json["backend"] = request.backend.backend;
    json["dtype"] = std::string(dtype_word(request.backend.dtype));
  }
  if (!result.tasks.empty()) json["tasks"] = tasks_json(result.tasks);
  return json;
}

std::string describe_evaluation(const EvalResult& result) {
  std::string text;
  if (result.evaluation) {
    const Evaluation& evaluation = *result.evaluation;
    Table table({{"", Table::Align::left}, {"", Table::Align::left}});
    table.add_row({"perplexity", fmt::format("{:.4f}", evaluation.perplexity)});
    if (evaluation.divergence) {
      table.add_row({"KL from the reference",
                     fmt::format("{:.4f} nats per token", evaluation.divergence->kl)});
      table.add_row(
          {"top-1 agreement", fmt::format("{:.2f} %", 100 * evaluation.divergence->top1)});
    }
    table.add_row(
        {"scored", fmt::format("{} tokens in {} windows of {}", format_count(evaluation.tokens),
                               evaluation.windows, evaluation.seq_len)});
    text += table.text();
  }
  if (result.evaluation && !result.tasks.empty()) text += "\n";
  if (!result.tasks.empty()) text += task_table(result.tasks);
  return text;
}

}  // namespace bitmill
