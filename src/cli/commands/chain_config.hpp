#pragma once
// From a config file with sections [run], [preprocess], [quantize], [tune], [eval] to the requests
// of the parts of a chain.

#include <optional>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/commands/eval_job.hpp"
#include "cli/options/preprocess_options.hpp"
#include "cli/options/quantize_options.hpp"
#include "cli/options/tune_options.hpp"

namespace bitmill {

struct ChainRequest {
  std::string model;       // the 16-bit original
  std::string output_dir;  // of the last part
  std::string work_dir;    // the chain's folder
  std::optional<PreprocessRequest> preprocess;
  QuantizeRequest quantize;
  std::optional<TuneRequest> tune;
  EvalRequest eval;         // of the original, without a reference
  bool compare = false;     // every result also with the original
  bool must_go_on = false;  // --resume required: there must be an unfinished chain
  std::optional<double> time_limit_s;
  bool dry_run = false;
  bool json = false;

  std::vector<ChainPart> parts() const;  // but the evaluation
};

OptionGroups run_option_groups();

// `given`: the words of the command line, then [run] of its --config. [quantize] may have a model
// and an output folder of its own, where [run] has none and there is no other part that works on
// models: its run folder is then where bitmill quantize has it, and the chain's is beside that.
// UsageError for all that cannot be, in whichever section.
ChainRequest read_chain_request(Files& files, const Settings& given);

}  // namespace bitmill
