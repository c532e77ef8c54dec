#include "cli/commands/chain_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/error.hpp"
#include "base/suggestion.hpp"
#include "cli/commands/invocation.hpp"
#include "cli/options/config_file.hpp"
#include "cli/options/run_folder_options.hpp"
#include "cli/options/shared_options.hpp"
#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

// What a part takes from [run] where its own section does not say it, and where it has such an
// option.
constexpr std::initializer_list<const char*> inherited = {
    "calib",   "samples", "seq-len",       "seed",        "allow-key",           "tensor-prefix",
    "backend", "dtype",   "stream-memory", "scratch-dir", "allow-mixed-hardware"};

// The value of --reference in [eval] that stands for the model of the chain, whichever that is.
constexpr const char* original_word = "original";

// Settings of the run as a whole are refused in the section of one of its parts.
void refuse_in_section(const Settings& section, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    BITMILL_CHECK(!section.has(name), UsageError,
                  fmt::format("{}: bitmill run takes this from [run] or its own options",
                              section.origin(name)));
  }
}

// One reading of a config.
class ChainReader {
 public:
  ChainReader(Files& files, const Settings& given)
      : files_(files), run_(given), path_(given.text_or("config", "")) {
    read_headings();
    preprocess_ = section("preprocess", preprocess_option_groups());
    quantize_ = section("quantize", quantize_option_groups());
    tune_ = section("tune", tune_option_groups());
    eval_ = section("eval", eval_option_groups());
    whole_ = run_.has("model") || run_.has("output-dir") || has("preprocess") || has("tune");
    if (whole_) run_.require({"model", "output-dir"}, "run");
  }

  ChainRequest read() {
    ChainRequest request;
    request.dry_run = run_.is_on("dry-run");
    request.json = run_.is_on("json");
    if (run_.has("time-limit"))
      request.time_limit_s = parse_seconds(run_.text_or("time-limit", ""));
    request.must_go_on = run_.word_or("resume", {"auto", "required", "never"}, 0) == 1;
    if (whole_) {
      request.output_dir = run_.folder_or("output-dir", "");
      request.work_dir = run_.folder_or("work-dir", request.output_dir + ".work");
      place(request.work_dir);
    }
    if (has("preprocess")) request.preprocess = read_preprocess_request(files_, preprocess_);
    request.quantize = read_quantize(request);
    if (has("tune")) request.tune = read_tune_request(files_, tune_);
    read_eval(request);
    return request;
  }

 private:
  // A part whose section has no line is done with its defaults.
  bool has(const char* section) const {
    return std::ranges::find(headings_, std::string_view(section)) != headings_.end();
  }

  // Sections with lines were looked at when the config was read.
  void read_headings() {
    headings_ = config_headings(read_text(files_, path_));
    const std::vector<std::string> known = {"run", "preprocess", "quantize", "tune", "eval"};
    for (const std::string& heading : headings_) {
      BITMILL_CHECK(std::ranges::find(known, heading) != known.end(), UsageError,
                    fmt::format("{}: [{}] is no part of a chain{}; its sections are {}", path_,
                                heading, did_you_mean(heading, known, ""), fmt::join(known, ", ")));
    }
  }

  Settings section(const std::string& name, const OptionGroups& groups) const {
    return config_settings(files_, path_, name, groups);
  }

  void inherit(Settings& part, const OptionGroups& groups,
               std::initializer_list<const char*> but = {}) const {
    const std::vector<std::string> known = option_names(groups);
    for (const char* name : inherited) {
      if (!run_.has(name) || std::ranges::find(known, name) == known.end()) continue;
      if (std::ranges::find(but, std::string_view(name)) != but.end()) continue;
      part.add(name, {run_.text_or(name, ""), run_.origin(name)});
    }
    if (run_.text_or("resume", "") == "never") part.add("resume", {"never", run_.origin("resume")});
    for (const char* name : {"json", "dry-run"}) {
      if (run_.has(name)) part.add(name, {run_.text_or(name, ""), run_.origin(name)});
    }
  }

  // Gives every part its folders: what it reads and what it makes.
  void place(const std::string& work_dir) {
    int number = 0;
    std::string input = run_.folder_or("model", "");
    const auto put = [&](Settings& part, const char* name, bool last) {
      refuse_in_section(part, {"model", "output-dir", "work-dir", "resume", "time-limit", "threads",
                               "json", "dry-run"});
      const std::string own = join_path(work_dir, fmt::format("{}-{}", ++number, name));
      const std::string output = last ? run_.folder_or("output-dir", "") : own;
      part.add("model", {input, fmt::format("the model of [{}]", name)});
      part.add("output-dir", {output, fmt::format("the output folder of [{}]", name)});
      part.add("work-dir", {own + ".work", fmt::format("the run folder of [{}]", name)});
      input = output;
    };
    if (has("preprocess")) put_preprocess(put);
    const bool tunes = has("tune");
    put(quantize_, "quantize", !tunes);
    inherit(quantize_, quantize_option_groups());
    if (!tunes) return;
    refuse_in_section(tune_, {"reference"});
    put(tune_, "tune", true);
    tune_.add("reference", {run_.folder_or("model", ""), run_.origin("model")});
    inherit(tune_, tune_option_groups());
  }

  template <class Put>
  void put_preprocess(const Put& put) {
    put(preprocess_, "preprocess", false);
    // These are for making a base.
    if (preprocess_.has("packed")) {
      inherit(preprocess_, preprocess_option_groups(), {"calib", "samples"});
    } else {
      inherit(preprocess_, preprocess_option_groups());
    }
  }

  QuantizeRequest read_quantize(ChainRequest& request) {
    if (whole_) {
      request.model = run_.folder_or("model", "");
      return read_quantize_request(files_, quantize_);
    }
    refuse_in_section(quantize_, {"threads", "json", "dry-run"});
    inherit(quantize_, quantize_option_groups());
    QuantizeRequest quantize = read_quantize_request(files_, quantize_);
    request.model = quantize.options.model;
    request.output_dir = quantize.options.output_dir;
    request.work_dir = run_.folder_or("work-dir", quantize.options.work_dir + "-chain");
    return quantize;
  }

  void read_eval(ChainRequest& request) {
    refuse_in_section(eval_, {"model", "threads", "json", "allow-key", "tensor-prefix"});
    const std::string reference = eval_.folder_or("reference", original_word);
    BITMILL_CHECK(reference == original_word || reference == request.model, UsageError,
                  fmt::format("{}: bitmill run compares with the model it starts from: {}, or the "
                              "word {}",
                              eval_.origin("reference"), request.model, original_word));
    BITMILL_CHECK(
        !eval_.has("activations"), UsageError,
        fmt::format("{}: bitmill run evaluates block by block; afterwards, give the result to "
                    "bitmill eval --activations",
                    eval_.origin("activations")));
    eval_.add("model", {request.model, "the model that the chain starts from"});
    for (const char* name : {"backend", "dtype", "stream-memory", "scratch-dir"}) {
      if (run_.has(name)) eval_.add(name, {run_.text_or(name, ""), run_.origin(name)});
    }
    request.eval = read_eval_request(eval_);
    request.eval.reading = request.quantize.options.reading;
    // The reference is for the evaluation of the results, which do not exist yet.
    request.compare = !std::exchange(request.eval.reference, "").empty();
  }

  Files& files_;
  const Settings run_;
  const std::string path_;
  std::vector<std::string> headings_;
  Settings preprocess_, quantize_, tune_, eval_;
  bool whole_ = false;  // [run] says what the chain works on
};

}  // namespace

OptionGroups run_option_groups() {
  std::vector<Option> folder = run_folder_options().options;
  for (Option& option : folder) {
    if (option.name == "work-dir") {
      option.help =
          "the chain's folder: its state, and for each part its run and, but for the last, its "
          "result";
    } else if (option.name == "resume") {
      option.help =
          "auto: go on with an unfinished chain in the work folder, if there is one; required: the "
          "same, but fail if there is none; never: throw the unfinished runs of its parts away";
    }
  }
  return {{"what to do (what a part's section does not say, it takes from here)",
           {{"config", "FILE", "", "sections [run], [preprocess], [quantize], [tune] and [eval]"},
            {"model", "DIR", "that of [quantize]", "the 16-bit folder that the chain starts from"},
            {"output-dir", "DIR", "that of [quantize]",
             "where the last part's folder goes; must be empty or not exist"},
            {"calib", "FILE", "", "calibration text of the parts"},
            {"samples", "N", "", "calibration windows"},
            {"seq-len", "N", "", "tokens of a window, in all parts but [eval]"},
            {"seed", "N", "", "as in the parts"},
            allow_key_option(),
            tensor_prefix_option(),
            {"dry-run", "", "", "check everything, say what would be done, and stop"},
            json_option("the result")}},
          {"the machine (these do not change the result, except backend and dtype)",
           {gpu_backend_option(), dtype_option(), threads_option()}},
          {"the work folder (these do not change the result)", std::move(folder)}};
}

std::vector<ChainPart> ChainRequest::parts() const {
  std::vector<ChainPart> parts;
  const auto add = [&](const char* name, const auto& options) {
    parts.push_back({name, options.output_dir, options.work_dir});
  };
  if (preprocess) add("preprocess", preprocess->options);
  add("quantize", quantize.options);
  if (tune) add("tune", tune->options);
  return parts;
}

ChainRequest read_chain_request(Files& files, const Settings& given) {
  given.require({"config"}, "run");
  return ChainReader(files, given).read();
}

}  // namespace bitmill
