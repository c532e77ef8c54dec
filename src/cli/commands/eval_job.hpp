#pragma once
// `bitmill eval` between its settings and its words; `bitmill run` has it too.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/commands/command.hpp"
#include "data/windows.hpp"
#include "eval/evaluate.hpp"
#include "model/source_model.hpp"

namespace bitmill {

OptionGroups eval_option_groups();

struct EvalRequest {
  std::string model;
  std::string corpus;
  std::string reference;      // empty: none
  int64_t seq_len = 0;        // 0: min(2048, the model's context), or the length of given windows
  int64_t max_windows = 0;    // 0: all
  int64_t stream_memory = 0;  // 0: no limit
  std::string scratch_dir;
  bool json = false;
};

// Where activations go that do not fit --stream-memory when no --scratch-dir is given.
std::string temporary_folder();

EvalRequest read_eval_request(const Settings& settings);

class EvalJob {
 public:
  explicit EvalJob(EvalRequest request) : request_(std::move(request)) {}

  const EvalRequest& request() const { return request_; }

  // Opens the models and reads the corpus.
  void check(const CheckContext& context);
  // Collective. `what` begins the progress lines. Another model than the request's may be given:
  // one with the same tokenizer.
  Evaluation run(RunContext& context, const std::string& what);
  Evaluation run(RunContext& context, const std::string& what, const SourceModel& model,
                 const SourceModel* reference);

 private:
  EvalRequest request_;
  std::unique_ptr<SourceModel> model_;
  std::unique_ptr<SourceModel> reference_;  // null without one
  Windows windows_;
};

nlohmann::ordered_json evaluation_json(const EvalRequest& request, const Evaluation& evaluation);

}  // namespace bitmill
