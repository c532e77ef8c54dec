#include "model/folder_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "format/packed_linear.hpp"
#include "model/tensor_prefix.hpp"

namespace bitmill {
namespace {

// Everything in a folder that does not fit its config.json.
class FolderCheck {
 public:
  FolderCheck(const TensorFolder& tensors, const ModelConfig& config)
      : tensors_(tensors), config_(config) {}

  std::vector<std::string> problems() {
    const std::string foreign = foreign_problem();
    if (!foreign.empty()) return {foreign};
    for (const TensorShape& tensor : outer_tensors(config_)) check(tensor);
    check_head_bias();
    for (int64_t block = 0; block < config_.blocks; ++block) {
      // When the config has far too many blocks, a full list of missing tensors helps nobody.
      if (problems_.size() >= most_problems) {
        problems_.push_back(fmt::format(
            "and perhaps more: config.json says num_hidden_layers is {}", config_.blocks));
        break;
      }
      check_block(block);
    }
    check_nothing_beyond_the_last_block();
    check_nothing_else_in_blocks();
    return std::move(problems_);
  }

 private:
  static constexpr size_t most_problems = 10;

  // A sentence when no name is one of the family's, or when names show what another program did.
  std::string foreign_problem() const {
    const std::vector<std::string> names = tensors_.names();
    for (const std::string& name : names) {
      if (name.find(".base_layer.") != name.npos || name.find(".lora_A.") != name.npos) {
        return fmt::format(
            "\"{}\" is a part of an adapter that was not merged: merge it, in Python: "
            "PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(folder)",
            name);
      }
    }
    const std::string prefix = find_foreign_prefix(tensors_, *config_.family);
    if (!prefix.empty()) {
      return fmt::format(
          "the tensors have other names than those of a {}: there is \"{}\" in front of them; give "
          "--tensor-prefix {}",
          config_.family->architecture, prefix, prefix);
    }
    for (const std::string& name : names) {
      if (name.find("._orig_mod.") == name.npos) continue;
      return fmt::format(
          "\"{}\" has the name that torch.compile gives to a part of a model: save the model as it "
          "was before, or rename the tensors without \"_orig_mod.\"",
          name);
    }
    return no_known_name() ? no_known_name_text(names) : "";
  }

  bool no_known_name() const {
    if (tensors_.names().empty()) return false;
    const auto there = [&](const std::string& name) {
      return tensors_.contains(name) || tensors_.is_lost(name);
    };
    for (const TensorShape& tensor : outer_tensors(config_)) {
      if (there(tensor.name)) return false;
    }
    const std::string blocks = outer_tensor(config_, config_.family->names.blocks);
    for (const std::string& name : tensors_.names()) {
      if (name.starts_with(blocks)) return false;
    }
    return true;
  }

  std::string no_known_name_text(const std::vector<std::string>& names) const {
    constexpr size_t few = 3;
    return fmt::format(
        "none of the {} tensors has a name of a {} (\"{}\", ...); their names are \"{}\"{}: "
        "convert "
        "the model to the form of transformers, or correct \"architectures\" in config.json",
        names.size(), config_.family->architecture, embedding_tensor(config_),
        fmt::join(std::span(names).first(std::min(few, names.size())), "\", \""),
        names.size() > few ? ", ..." : "");
  }

  // transformers leaves out a bias of the head, which these families do not have. One of zeros
  // changes nothing.
  void check_head_bias() {
    const std::string name = fmt::format("{}.bias", config_.family->names.head);
    if (!tensors_.contains(name) || !is_float(tensors_.info(name).dtype)) return;
    const std::vector<float> bias = tensors_.read_float32(name);
    if (std::ranges::all_of(bias, [](float value) { return value == 0; })) return;
    problems_.push_back(fmt::format(
        "\"{}\" is a bias of the head, which a {} does not have and transformers leaves out: the "
        "model was trained as another architecture; remove the tensor to pack it without",
        name, config_.family->architecture));
  }

  // A config with fewer blocks than the files have would give another model than the trained one.
  void check_nothing_beyond_the_last_block() {
    const std::string beyond = block_tensor(config_, config_.blocks, "");
    for (const std::string& name : tensors_.names()) {
      if (!name.starts_with(beyond)) continue;
      problems_.push_back(fmt::format(
          "config.json says num_hidden_layers is {}, and \"{}\" is there", config_.blocks, name));
      return;
    }
  }

  // A tensor in a block that nobody reads would mean that another model is computed than the
  // trained one.
  void check_nothing_else_in_blocks() {
    const std::string blocks = outer_tensor(config_, config_.family->names.blocks);
    const std::set<std::string> known = names_in_a_block();
    for (const std::string& name : tensors_.names()) {
      if (!name.starts_with(blocks) || problems_.size() >= most_problems) continue;
      const size_t dot = name.find('.', blocks.size());
      if (dot == std::string::npos) continue;
      const std::string in_block = name.substr(dot + 1);
      // Some old files hold the frequencies of rotary positions, which follow from config.json.
      if (known.contains(in_block) || in_block.ends_with("rotary_emb.inv_freq")) continue;
      problems_.push_back(fmt::format(
          "\"{}\" is not a tensor of a {} with this config.json: it may be fused or renamed, or "
          "belong to a feature that is not computed",
          name, config_.family->architecture));
    }
  }

  // After the block's prefix, packed parts included.
  std::set<std::string> names_in_a_block() {
    std::set<std::string> names;
    const size_t prefix = block_tensor(config_, 0, "").size();
    for (const TensorShape& tensor : block_vectors(config_, 0)) {
      names.insert(tensor.name.substr(prefix));
    }
    for (const LinearShape& linear : block_linears(config_, 0)) {
      const std::string name = linear.tensor.substr(prefix);
      names.insert(name);
      for (const PackedPart& part : packed_parts()) names.insert(name + part.suffix);
    }
    return names;
  }

  void check_block(int64_t block) {
    for (const TensorShape& tensor : block_vectors(config_, block)) check(tensor);
    for (const LinearShape& linear : block_linears(config_, block)) {
      if (is_packed(tensors_, linear.tensor)) {
        check_packed(linear);
      } else {
        check({linear.tensor, {linear.rows, linear.cols}});
      }
    }
  }

  void check(const TensorShape& expected) {
    const auto& [name, shape] = expected;
    if (tensors_.is_lost(name)) return;
    if (!tensors_.contains(name)) {
      problems_.push_back(fmt::format("\"{}\" is missing{}", name, advice_on_missing(name)));
      return;
    }
    const TensorInfo& info = tensors_.info(name);
    if (info.shape != shape) {
      problems_.push_back(fmt::format("\"{}\" has shape [{}]; config.json says [{}]", name,
                                      fmt::join(info.shape, ", "), fmt::join(shape, ", ")));
    }
    if (!is_float(info.dtype)) {
      problems_.push_back(
          fmt::format("\"{}\" is {}; F32, F16 or BF16 was expected", name, info.dtype_text));
    }
  }

  // Returns the advice the first time, then an empty text. One of head and embedding alone has its
  // own advice.
  std::string advice_on_missing(const std::string& name) {
    const std::string head = head_tensor(config_), embedding = embedding_tensor(config_);
    const std::string& other = name == head ? embedding : head;
    if ((name == head || name == embedding) && tensors_.contains(other)) {
      return fmt::format(
          ", and \"{}\" is there: if the two are one, set \"{}\" to true in config.json; if not, a "
          "file was left behind when the folder was copied",
          other, config_.family->keys.tied_embeddings.name);
    }
    if (std::exchange(advised_, true)) return "";
    return ": a file was left behind when the folder was copied, or config.json belongs to another "
           "model";
  }

  void check_packed(const LinearShape& linear) {
    try {
      const PackedShape shape = read_packed_shape(tensors_, linear.tensor);
      if (shape.rows != linear.rows || shape.cols != linear.cols) {
        problems_.push_back(
            fmt::format("packed \"{}\" has shape [{}, {}]; config.json says [{}, {}]",
                        linear.tensor, shape.rows, shape.cols, linear.rows, linear.cols));
      }
    } catch (const FormatError& error) {
      problems_.push_back(error.what());
    }
  }

  const TensorFolder& tensors_;
  const ModelConfig& config_;
  std::vector<std::string> problems_;
  bool advised_ = false;
};

}  // namespace

void resolve_against(const TensorFolder& tensors, ModelConfig& config) {
  config.tensor_prefix = find_tensor_prefix(tensors, *config.family);
  if (!config.tied_embeddings || config.only_head_stored) return;  // not tied, or resolved before
  const auto there = [&](const std::string& name) {
    return tensors.contains(name) || tensors.is_lost(name);
  };
  const std::string head = fmt::format("{}.weight", config.family->names.head);
  if (!there(head)) return;
  if (there(embedding_tensor(config))) {
    config.tied_embeddings = false;
  } else {
    config.only_head_stored = true;
  }
}

std::vector<std::string> tensor_problems(const TensorFolder& tensors, ModelConfig config) {
  resolve_against(tensors, config);
  return FolderCheck(tensors, config).problems();
}

namespace {

// Names outside of the blocks that no part of the model has.
std::vector<std::string> unread_names(const TensorFolder& tensors, const ModelConfig& config) {
  std::set<std::string> known;
  for (const TensorShape& tensor : outer_tensors(config)) known.insert(tensor.name);
  const std::string blocks = outer_tensor(config, config.family->names.blocks);
  std::vector<std::string> unread;
  for (const std::string& name : tensors.names()) {
    const bool follows_from_config = name.ends_with("rotary_emb.inv_freq");
    if (known.contains(name) || name.starts_with(blocks) || follows_from_config) continue;
    unread.push_back(name);
  }
  return unread;
}

}  // namespace

std::vector<std::string> tensor_notes(const TensorFolder& tensors, const ModelConfig& config) {
  constexpr size_t most = 10;
  std::vector<std::string> notes = tensors.notes();
  const std::vector<std::string> unread = unread_names(tensors, config);
  if (!unread.empty()) {
    notes.push_back(fmt::format(
        "tensors that a {} does not have are not computed, and stay in a result as they are: {}{}",
        config.family->architecture,
        fmt::join(std::span(unread).first(std::min(most, unread.size())), ", "),
        unread.size() > most ? fmt::format(" and {} more", unread.size() - most) : ""));
  }
  return notes;
}

}  // namespace bitmill
