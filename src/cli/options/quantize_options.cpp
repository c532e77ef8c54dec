#include "cli/options/quantize_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <initializer_list>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "cli/options/corpus_options.hpp"
#include "cli/options/recipe.hpp"
#include "cli/options/run_folder_options.hpp"
#include "cli/options/shared_options.hpp"
#include "cli/report/quantity.hpp"
#include "pipeline/checks/preflight.hpp"

namespace bitmill {
namespace {

// The options that a recipe may set: they determine the result and do not depend on the machine.
OptionGroup method_options() {
  return {
      "the method (a recipe sets these; single options win over it)",
      {{"samples", "N", "", "calibration windows"},
       {"seq-len", "N", "2048, or the model's context where that is shorter", "tokens of a window"},
       {"epochs", "N", "", "passes over the windows, per block"},
       {"batch", "N", "", "windows per optimiser step, over all ranks"},
       {"lag", "N|epochs/N", "", "epochs of a block before the next block gets its new output"},
       {"salient-ratio", "RATIO", "", "share of the input channels kept in 4 bits"},
       {"saliency", "max|mean", "",
        "what makes a channel salient: the largest or the mean magnitude of its inputs"},
       {"int4-range", "row|salient", "",
        "what the 4-bit grid of a row spans: all of the row, or its salient channels alone"},
       {"int4-clip", "", "",
        "narrow the range of that grid where this lowers the error, weighted by the inputs"},
       {"center", "", "", "row scales begin as the mean of |W - mean|, not of |W|"},
       {"init", "weights|cd", "weights",
        "training begins with signs and codes rounded from the weights; cd: after coordinate "
        "descent on these"},
       {"loss", "mse|relative", "mse",
        "squared error, or that of each token divided by the size of its target"},
       {"loss-normal", "WEIGHT", "1",
        "weight of the first target in the loss: the full-precision model's output"},
       {"loss-homologous", "WEIGHT", "1",
        "weight of the second target: the full-precision block's output for the input that the "
        "packed block gets"},
       {"learn-signs", "", "",
        "learn every sign, not scales alone: far better, with more work, memory and state"},
       {"learn-means", "", "", "learn the row means"},
       {"learn-code-scales", "", "", "learn the scales of the 4-bit grids"},
       {"lr-scale", "RATE", "", "learning rate of the row scales"},
       {"lr-gain", "RATE", "", "learning rate of the row and column gains"},
       {"lr-sign", "RATE", "3e-2", "learning rate of the signs' latents"},
       {"lr-mean", "RATE", "5e-4", "learning rate of the row means"},
       {"lr-code-scale", "RATE", "1e-4", "learning rate of the 4-bit scales"},
       {"lr-schedule", "constant|cosine", "cosine with --learn-signs, else constant",
        "how all rates change over the epochs of a block"},
       {"sign-state", "32|16", "32",
        "bits of each latent and moment in the state on disk; 16 rounds them after every epoch"},
       {"stream-dtype", "float32|float16|bfloat16", "float32",
        "type of the activations between blocks: 16 bits halve their memory and traffic"},
       {"seed", "N", "0", "decides the positions of the calibration windows in a text"},
       shuffle_seed_option(),
       window_bos_option(),
       {"ignore", "REGEX,...", "",
        "linears with matching names are not packed: down_proj, layers\\.3\\., *.o_proj, a whole "
        "name, or several with commas between them"},
       {"max-blocks", "N", "0", "pack the first N blocks only; 0 means all"}}};
}

OptionGroup input_options() {
  return {"what to do",
          {{"model", "DIR", "", "the 16-bit Hugging Face folder"},
           {"output-dir", "DIR", "", "where the packed folder goes; must be empty or not exist"},
           {"calib", "FILE", "", std::string("calibration text: ") + corpus_kinds},
           text_key_option(),
           {"recipe", "NAME", "published",
            "a named set of settings: published, parallel, best, or the path of a .cfg file"},
           allow_key_option(),
           tensor_prefix_option(),
           config_option(),
           {"dry-run", "", "", "check everything, say what would be done, and stop"},
           json_option("the result")}};
}

OptionGroup machine_options() {
  return {"the machine (these do not change the result, except backend and dtype)",
          {gpu_backend_option(),
           dtype_option(),
           threads_option(),
           {"redo-blocks", "N,N,...", "",
            "in an unfinished run: pack these blocks again and compare with what was recorded"},
           {"verify-source", "", "",
            "read and hash the whole model first, instead of each block when its turn comes"},
           {"max-shard-size", "BYTES", "5GB", "largest tensor file of the result"},
           {"stages", "N", "chosen",
            "groups of ranks that share the depth; the ranks of a group share the batch"},
           {"memory-limit", "BYTES", "none; the mesh is chosen for half of what is free per rank",
            "memory of a rank on its host: the mesh is chosen for it, and a job that needs more is "
            "refused"},
           {"device-memory-limit", "BYTES", "what is free there, less a reserve",
            "memory of a rank's GPU: streams that do not fit go to the host, and a job whose block "
            "does not fit is refused"},
           {"hardware", "NAME", default_hardware,
            "what a rank can do, for the choice of the mesh and the forecast: cpu, a100, h100, "
            "h200, or the path of a .cfg file, such as bitmill plan --calibrate saves"},
           {"walk", "auto|wavefront|sweep", "auto",
            "order of the work: all turns of a block go through the depth together (wavefront), or "
            "only as many as there are stages (sweep)"}}};
}

// One of `choices`, by its word (method/settings.hpp); `normal` where none is given.
template <class Choice>
Choice choice_or(const Settings& settings, const char* name, std::initializer_list<Choice> choices,
                 Choice normal) {
  std::vector<std::string> words;
  for (const Choice choice : choices) words.emplace_back(word_of(choice));
  const auto fallback = std::ranges::find(choices, normal) - choices.begin();
  return choices.begin()[settings.word_or(name, words, static_cast<size_t>(fallback))];
}
// The same; the first choice is the normal one.
template <class Choice>
Choice choice_or(const Settings& settings, const char* name,
                 std::initializer_list<Choice> choices) {
  return choice_or(settings, name, choices, *choices.begin());
}

// A variable of a script that was never set would be a choice that hits nothing.
void refuse_empty(const Settings& settings, const char* name) {
  BITMILL_CHECK(!settings.has(name) || !settings.text_or(name, "").empty(), UsageError,
                fmt::format("{} is empty; leave it out to choose nothing", settings.origin(name)));
}

void read_method(const Settings& settings, QuantizeOptions& options) {
  options.samples = settings.whole_or("samples", options.samples, 1, INT64_MAX);
  options.seq_len = settings.whole_or("seq-len", options.seq_len, 2, INT64_MAX);
  options.epochs = static_cast<int>(settings.whole_or("epochs", options.epochs, 1, INT_MAX));
  options.batch = settings.whole_or("batch", options.batch, 1, INT64_MAX);
  options.lag =
      parse_lag(settings.text_or("lag", "epochs"), options.epochs, settings.origin("lag"));
  constexpr std::array dtypes = {Dtype::float32, Dtype::float16, Dtype::bfloat16};
  options.stream_dtype =
      dtypes[settings.word_or("stream-dtype", {"float32", "float16", "bfloat16"}, 0)];
  take_calibration(settings, options);
  refuse_empty(settings, "ignore");
  options.ignore = settings.text_or("ignore", "");
  options.max_blocks = settings.whole_or("max-blocks", options.max_blocks, 0, INT64_MAX);

  MethodSettings& method = options.method;
  if (settings.has("salient-ratio")) {
    try {
      method.salient_ratio = ExactRatio::parse(settings.text_or("salient-ratio", ""));
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{}: {}", settings.origin("salient-ratio"), error.what()));
    }
  }
  method.saliency = choice_or(settings, "saliency", {Saliency::max, Saliency::mean});
  method.int4_range = choice_or(settings, "int4-range", {Int4Range::row, Int4Range::salient});
  method.int4_clip = settings.is_on("int4-clip");
  method.center = settings.is_on("center");
  method.init = choice_or(settings, "init", {Init::weights, Init::descent});
  method.loss.error = choice_or(settings, "loss", {ErrorKind::absolute, ErrorKind::relative});
  method.loss.normal = settings.rate_or("loss-normal", method.loss.normal);
  method.loss.homologous = settings.rate_or("loss-homologous", method.loss.homologous);
}

// What is learned, and how fast. A rate for something that is not learned is refused: it would have
// no effect.
void read_learning(const Settings& settings, QuantizeOptions& options) {
  MethodSettings& method = options.method;
  method.learned = {settings.is_on("learn-signs"), settings.is_on("learn-means"),
                    settings.is_on("learn-code-scales")};
  method.lr_scale = settings.rate_or("lr-scale", method.lr_scale);
  method.lr_gain = settings.rate_or("lr-gain", method.lr_gain);
  method.lr_sign = settings.rate_or("lr-sign", method.lr_sign);
  method.lr_mean = settings.rate_or("lr-mean", method.lr_mean);
  method.lr_code_scale = settings.rate_or("lr-code-scale", method.lr_code_scale);
  method.schedule =
      choice_or(settings, "lr-schedule", {RateSchedule::constant, RateSchedule::cosine},
                method.learned.signs ? RateSchedule::cosine : RateSchedule::constant);
  options.half_latents = settings.word_or("sign-state", {"32", "16"}, 0) == 1;
  for (const auto& [option, learned, part] :
       {std::tuple{"lr-sign", method.learned.signs, "learn-signs"},
        std::tuple{"sign-state", method.learned.signs, "learn-signs"},
        std::tuple{"lr-mean", method.learned.row_means, "learn-means"},
        std::tuple{"lr-code-scale", method.learned.code_scales, "learn-code-scales"}}) {
    BITMILL_CHECK(learned || !settings.has(option), UsageError,
                  fmt::format("{} has no effect without --{}", settings.origin(option), part));
  }
}

// "3,7"
std::vector<int> read_blocks(const Settings& settings) {
  std::vector<int> blocks;
  const std::string text = settings.text_or("redo-blocks", "");
  refuse_empty(settings, "redo-blocks");
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int block = -1;
    const auto [rest, error] = std::from_chars(at, end, block);
    BITMILL_CHECK(error == std::errc() && block >= 0 && (rest == end || *rest == ','), UsageError,
                  fmt::format("{}: \"{}\" must be numbers of blocks with commas between them, such "
                              "as 3,7",
                              settings.origin("redo-blocks"), text));
    blocks.push_back(block);
    at = rest == end ? end : rest + 1;
  }
  return blocks;
}

void read_mesh(const Settings& settings, QuantizeOptions& options) {
  options.stages = static_cast<int>(settings.whole_or("stages", 0, 1, INT_MAX));
  constexpr std::array walks = {Walk::automatic, Walk::wavefront, Walk::sweep};
  options.walk = walks[settings.word_or("walk", {"auto", "wavefront", "sweep"}, 0)];
}

void read_machine(const Settings& settings, QuantizeRequest& request) {
  QuantizeOptions& options = request.options;
  const BackendChoice choice = read_backend_choice(settings);
  options.backend = choice.backend;
  options.dtype = choice.dtype;
  request.backend_note = choice.note;
  options.max_shard_bytes = settings.bytes_or("max-shard-size", options.max_shard_bytes);
  options.redo_blocks = read_blocks(settings);
  options.verify_source = settings.is_on("verify-source");
  read_mesh(settings, options);
}

void check_contradictions(const QuantizeOptions& options) {
  check_batch(options, options.samples);
  BITMILL_CHECK(!lies_in(options.output_dir, options.model), UsageError,
                fmt::format("--output-dir {} lies in the model folder {}; give another folder",
                            options.output_dir, options.model));
  for (const auto& [option, folder] : {std::pair{"--work-dir", options.work_dir},
                                       std::pair{"--scratch-dir", options.scratch_dir}}) {
    BITMILL_CHECK(!lies_in(folder, options.output_dir), UsageError,
                  fmt::format("{} {} lies in the output folder {}, which must be empty; give "
                              "another folder",
                              option, folder, options.output_dir));
    BITMILL_CHECK(!lies_in(folder, options.model), UsageError,
                  fmt::format("{} {} lies in the model folder {}; give another folder", option,
                              folder, options.model));
  }
}

}  // namespace

OptionGroups quantize_option_groups() {
  OptionGroups groups = {input_options(), method_options(), machine_options(), run_folder_options(),
                         picture_options()};
  // The defaults are in the recipe; the help shows them.
  for (const EmbeddedRecipe& recipe : embedded_recipes()) {
    if (recipe.name != QuantizeOptions().recipe) continue;
    const Settings defaults = parse_section(recipe.text, recipe.name, "", groups);
    for (Option& option : groups[1].options) {
      if (defaults.has(option.name)) option.normal = defaults.text_or(option.name, "");
    }
  }
  return groups;
}

OptionGroup method_option_group() { return quantize_option_groups()[1]; }

QuantizeOptions read_plan_options(Files& files, const Settings& given) {
  QuantizeOptions options;
  const Recipe recipe =
      read_recipe(files, given.text_or("recipe", options.recipe), {method_options()});
  Settings settings = given;
  settings.add_missing(recipe.settings);
  options.recipe = recipe.name;
  options.model = settings.folder_or("model", "");
  options.reading = read_model_reading(settings);
  read_method(settings, options);
  read_learning(settings, options);
  read_mesh(settings, options);
  options.stream_memory = settings.bytes_or("stream-memory", options.stream_memory);
  return options;
}

QuantizeRequest read_quantize_request(Files& files, const Settings& given) {
  given.require({"model", "output-dir", "calib"}, "quantize");
  QuantizeRequest request;
  QuantizeOptions& options = request.options;
  const Recipe recipe =
      read_recipe(files, given.text_or("recipe", options.recipe), {method_options()});
  Settings settings = given;
  settings.add_missing(recipe.settings);

  options.recipe = recipe.name;
  options.model = settings.folder_or("model", "");
  options.reading = read_model_reading(settings);
  options.output_dir = settings.folder_or("output-dir", "");
  read_method(settings, options);
  read_learning(settings, options);
  options.samples_by_hand = given.has("samples");
  read_machine(settings, request);
  take_run_folder(settings, request);
  check_contradictions(options);
  request.dry_run = settings.is_on("dry-run");
  request.json = settings.is_on("json");
  request.pictures = read_pictures(settings);
  options.memory_limit = settings.bytes_or("memory-limit", 0);
  options.device_memory_limit = settings.bytes_or("device-memory-limit", 0);
  BITMILL_CHECK(options.device_memory_limit == 0 || options.backend == "cuda", UsageError,
                fmt::format("{}: there is no GPU in this job (--backend {}); --memory-limit limits "
                            "the memory of a rank",
                            settings.origin("device-memory-limit"), options.backend));
  request.hardware = settings.text_or("hardware", request.hardware);
  request.given = given;
  return request;
}

}  // namespace bitmill
