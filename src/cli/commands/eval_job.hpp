#pragma once
// The job of `bitmill eval`, without parsing of options and printing. `bitmill run` uses it too.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/commands/command.hpp"
#include "data/window_bos.hpp"
#include "data/windows.hpp"
#include "eval/evaluate.hpp"
#include "model/source_model.hpp"

namespace bitmill {

OptionGroups eval_option_groups();

struct EvalRequest {
  std::string model;
  std::string corpus;
  std::string text_key;  // of JSON lines; empty: nobody gave one
  WindowBos window_bos = WindowBos::off;
  std::string reference;      // empty: none
  ModelReading reading;       // how both are read
  int64_t seq_len = 0;        // 0: min(2048, the model's context), or the length of given windows
  int64_t max_windows = 0;    // 0: all
  int64_t stream_memory = 0;  // 0: no limit
  std::string scratch_dir;
  bool json = false;
};

// The default of --scratch-dir: where activations go that do not fit --stream-memory.
std::string temporary_folder();

EvalRequest read_eval_request(const Settings& settings);

class EvalJob {
 public:
  explicit EvalJob(EvalRequest request) : request_(std::move(request)) {}

  const EvalRequest& request() const { return request_; }

  // Finds out at once where nothing could be written later. check() does it too.
  void check_places(Files& files) const;
  // Opens the models and reads the corpus.
  void check(const CheckContext& context);
  // Collective. Progress lines begin with `what`. A model other than the request's may be given if
  // it has the same tokenizer.
  Evaluation run(RunContext& context, const std::string& what);
  Evaluation run(RunContext& context, const std::string& what, const SourceModel& model,
                 const SourceModel* reference);

 private:
  EvalRequest request_;
  std::unique_ptr<SourceModel> model_;
  std::unique_ptr<SourceModel> reference_;  // null without one
  Windows windows_;
  std::vector<std::string> notes_;  // of the windows; said once
};

nlohmann::ordered_json evaluation_json(const EvalRequest& request, const Evaluation& evaluation);

}  // namespace bitmill
