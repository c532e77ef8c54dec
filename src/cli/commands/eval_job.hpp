#pragma once
// The job of `bitmill eval`, without parsing of options and printing. `bitmill run` uses it too.

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/command.hpp"
#include "cli/commands/product_forward.hpp"
#include "cli/options/infer_options.hpp"
#include "cli/options/task_options.hpp"
#include "data/window_bos.hpp"
#include "data/windows.hpp"
#include "eval/evaluate.hpp"
#include "eval/task_scores.hpp"
#include "eval/task_texts.hpp"
#include "model/source_model.hpp"

namespace bitmill {

OptionGroups eval_option_groups();

struct EvalRequest {
  std::string model;
  std::string corpus;    // empty: tasks only
  std::string text_key;  // of JSON lines; empty: nobody gave one
  WindowBos window_bos = WindowBos::off;
  std::string reference;      // empty: none
  ModelReading reading;       // how both are read
  int64_t seq_len = 0;        // 0: min(2048, the model's context), or the length of given windows
  int64_t max_windows = 0;    // 0: all
  int64_t stream_memory = 0;  // 0: no limit
  std::string scratch_dir;
  TaskWishes tasks;
  // As `generate` computes; nothing: block by block, as `backend` says.
  std::optional<ProductChoice> products;
  BackendChoice backend;
  bool json = false;
};

// UsageError for neither a corpus nor a task, and for options that have no effect without a corpus.
EvalRequest read_eval_request(const Settings& settings);

struct EvalResult {
  std::optional<Evaluation> evaluation;  // nothing without a corpus
  std::vector<TaskScore> tasks;
};

class EvalJob {
 public:
  explicit EvalJob(EvalRequest request) : request_(std::move(request)) {}

  const EvalRequest& request() const { return request_; }

  // Finds out at once where nothing could be written later. check() does it too.
  void check_places(Files& files) const;
  // Opens the models, and reads the corpus and the tasks.
  void check(const CheckContext& context);
  // Called on every rank after every block of an evaluation, where it may throw.
  void call_between_blocks(std::function<void()> call) { between_blocks_ = std::move(call); }
  // REQUIRES: check(). A hash of all that decides the figures, but for the weights of the models
  // and the machine: windows, texts of tasks, backend and its type.
  std::string subject() const;
  // Collective. Progress lines begin with `what`. A model other than the request's may be given if
  // it has the same tokenizer and context; it is computed block by block.
  EvalResult run(RunContext& context, const std::string& what);
  EvalResult run(RunContext& context, const std::string& what, const SourceModel& model,
                 const SourceModel* reference);

 private:
  void check_corpus(Files& files);
  void check_tasks(Files& files);
  void say_notes(Console& console, const std::string& what, const SourceModel& model);
  std::unique_ptr<ProductForward> load_products(RunContext& context, const std::string& what) const;
  EvalResult run(RunContext& context, const std::string& what, const EvalModel& model,
                 const SourceModel* reference);
  std::vector<TaskScore> score_tasks(RunContext& context, const EvalModel& model,
                                     StreamBudget& budget, const Device& device,
                                     const EvalProgress& progress) const;

  EvalRequest request_;
  std::unique_ptr<SourceModel> model_;
  std::unique_ptr<SourceModel> reference_;  // null without one
  Windows windows_;
  std::vector<Task> tasks_;
  std::vector<std::string> task_hashes_;  // of their files
  std::vector<ScoredText> task_texts_;    // of all tasks, in their order
  std::vector<std::string> notes_;        // of the windows and tasks; said once
  std::function<void()> between_blocks_ = [] {};
};

nlohmann::ordered_json evaluation_json(const EvalRequest& request, const EvalResult& result);
// For people.
std::string describe_evaluation(const EvalResult& result);

}  // namespace bitmill
