#include "model/folder_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "format/packed_linear.hpp"

namespace bitmill {
namespace {

// Everything in a folder that does not fit its config.json.
class FolderCheck {
 public:
  FolderCheck(const TensorFolder& tensors, const ModelConfig& config)
      : tensors_(tensors), config_(config) {}

  std::vector<std::string> problems() {
    for (const TensorShape& tensor : outer_tensors(config_)) check(tensor);
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
      problems_.push_back(fmt::format("\"{}\" is missing{}", name, advice_on_missing()));
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

  // Returns the advice the first time, then an empty text.
  std::string advice_on_missing() {
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

std::string find_tensor_prefix(const TensorFolder& tensors, const Family& family) {
  for (std::string_view rest = family.names.prefix;; rest.remove_prefix(rest.find('.') + 1)) {
    std::string prefix(rest);
    const std::string embedding = prefix + std::string(family.names.embedding) + ".weight";
    if (tensors.contains(embedding) || tensors.is_lost(embedding)) return prefix;
    if (rest.empty()) return std::string(family.names.prefix);
  }
}

std::vector<std::string> tensor_problems(const TensorFolder& tensors, ModelConfig config) {
  config.tensor_prefix = find_tensor_prefix(tensors, *config.family);
  return FolderCheck(tensors, config).problems();
}

}  // namespace bitmill
