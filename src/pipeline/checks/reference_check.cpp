#include "pipeline/checks/reference_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.hpp"
#include "format/config_file.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/folder/assemble.hpp"

namespace bitmill {
namespace {

// Collects where two models differ, one phrase for each difference.
class Differences {
 public:
  template <class Value>
  void compare(const char* what, const Value& in_model, const Value& in_teacher) {
    if (in_model == in_teacher) return;
    phrases_.push_back(fmt::format("{} is {} there and {} here", what, in_teacher, in_model));
  }
  const std::vector<std::string>& phrases() const { return phrases_; }

 private:
  std::vector<std::string> phrases_;
};

void compare_sizes(const ModelConfig& a, const ModelConfig& b, Differences& differences) {
  differences.compare("the architecture", a.family->architecture, b.family->architecture);
  differences.compare("the number of blocks", a.blocks, b.blocks);
  differences.compare("the hidden size", a.hidden_size, b.hidden_size);
  differences.compare("the embedding size", a.embedding_size, b.embedding_size);
  differences.compare("the intermediate size", a.intermediate_size, b.intermediate_size);
  differences.compare("the number of heads", a.heads, b.heads);
  differences.compare("the number of key-value heads", a.kv_heads, b.kv_heads);
  differences.compare("the head size", a.head_dim, b.head_dim);
  differences.compare("the vocabulary", a.vocab_size, b.vocab_size);
}

void compare_functions(const ModelConfig& a, const ModelConfig& b, Differences& differences) {
  differences.compare("the activation", name_of(a.activation), name_of(b.activation));
  differences.compare("the epsilon of the norms", a.norm_epsilon, b.norm_epsilon);
  differences.compare("\"norms come first\"", a.norm_first, b.norm_first);
  differences.compare("\"norms have weights\"", a.norm_weights, b.norm_weights);
  differences.compare("\"there is a final norm\"", a.final_norm, b.final_norm);
  differences.compare("\"attention has biases\"", a.attention_bias, b.attention_bias);
  differences.compare("\"the MLP has biases\"", a.mlp_bias, b.mlp_bias);
}

void compare_rope(const RopeConfig& a, const RopeConfig& b, Differences& differences) {
  differences.compare("rope_theta", a.theta, b.theta);
  differences.compare("the rope type", name_of(a.scaling), name_of(b.scaling));
  differences.compare("the rope factor", a.factor, b.factor);
  differences.compare("low_freq_factor", a.low_freq_factor, b.low_freq_factor);
  differences.compare("high_freq_factor", a.high_freq_factor, b.high_freq_factor);
  differences.compare("original_max_position_embeddings", a.original_context, b.original_context);
}

// The source_hash in config.json; empty where there is none.
std::string recorded_source(Files& files, const std::string& folder) {
  const nlohmann::json config = read_config_json(files, folder);
  const nlohmann::json::json_pointer record(std::string(quantize_record) + "/source_hash");
  if (!config.contains(record) || !config.at(record).is_string()) return "";
  return config.at(record).get<std::string>();
}

}  // namespace

void check_not_packed(Files& files, const std::string& reference) {
  BITMILL_CHECK(
      !is_packed_folder(files, reference), UsageError,
      fmt::format("--reference {} is packed: give the 16-bit model it was made from", reference));
}

void check_same_model(const SourceModel& model, const SourceModel& teacher) {
  const ModelConfig &a = model.config(), &b = teacher.config();
  Differences differences;
  compare_sizes(a, b, differences);
  compare_functions(a, b, differences);
  compare_rope(a.rope, b.rope, differences);
  BITMILL_CHECK(
      differences.phrases().empty(), UsageError,
      fmt::format("{} is not the model that {} was made from: {}; give that one", teacher.folder(),
                  model.folder(), fmt::join(differences.phrases(), "; ")));
}

std::string other_source_note(Files& files, const SourceModel& model, const SourceModel& teacher,
                              const std::string& teacher_hash) {
  const std::string recorded = recorded_source(files, model.folder());
  if (recorded.empty() || recorded == teacher_hash) return "";
  return fmt::format(
      "the tensors of {} are not those that {} was made from: their source_hash is {}, and its "
      "config.json names {}. It is tuned towards them anyway",
      teacher.folder(), model.folder(), teacher_hash, recorded);
}

void check_made_from(Files& files, const SourceModel& model, const SourceModel& original,
                     const std::string& original_hash) {
  const std::string recorded = recorded_source(files, model.folder());
  BITMILL_CHECK(!recorded.empty(), UsageError,
                fmt::format("config.json of {} does not name the model that it was made from "
                            "({}/source_hash); quantize {} anew",
                            model.folder(), quantize_record, original.folder()));
  BITMILL_CHECK(recorded == original_hash, UsageError,
                fmt::format("{} was made from another model than {}: its config.json names the "
                            "source_hash {}, and that of the tensors there is {}; give the model "
                            "it was made from as --model, or quantize this one",
                            model.folder(), original.folder(), recorded, original_hash));
}

}  // namespace bitmill
