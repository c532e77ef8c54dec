#include "model/source_model.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string_view>

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
    const Family& family = *config_.family;
    check(family.embedding, {config_.vocab_size, config_.hidden_size});
    for (int64_t block = 0; block < config_.blocks; ++block) {
      // A config with far too many blocks needs no list of all that are missing.
      if (problems_.size() >= most_problems) {
        problems_.push_back(fmt::format(
            "and perhaps more: config.json says num_hidden_layers is {}", config_.blocks));
        break;
      }
      check_block(block);
    }
    check_nothing_beyond_the_last_block();
    check(family.final_norm, {config_.hidden_size});
    if (!config_.tied_embeddings) check(family.head, {config_.vocab_size, config_.hidden_size});
    return std::move(problems_);
  }

 private:
  static constexpr size_t most_problems = 10;

  // A config that tells of fewer blocks than there are would make another model of the same file.
  void check_nothing_beyond_the_last_block() {
    const std::string beyond = block_tensor(config_, config_.blocks, "");
    for (const std::string& name : tensors_.names()) {
      if (!name.starts_with(beyond)) continue;
      problems_.push_back(fmt::format(
          "config.json says num_hidden_layers is {}, and \"{}\" is there", config_.blocks, name));
      return;
    }
  }

  void check_block(int64_t block) {
    for (const auto norm : {config_.family->input_norm, config_.family->middle_norm}) {
      check(block_tensor(config_, block, norm), {config_.hidden_size});
    }
    for (const LinearShape& linear : block_linears(config_, block)) {
      if (is_packed(tensors_, linear.tensor)) {
        check_packed(linear);
      } else {
        check(linear.tensor, {linear.rows, linear.cols});
      }
    }
  }

  void check(std::string_view tensor, const std::vector<int64_t>& shape) {
    const std::string name(tensor);
    if (tensors_.is_lost(name)) return;
    if (!tensors_.contains(name)) {
      problems_.push_back(fmt::format("\"{}\" is missing", name));
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
};

}  // namespace

std::vector<std::string> tensor_problems(const TensorFolder& tensors, const ModelConfig& config) {
  return FolderCheck(tensors, config).problems();
}

SourceModel::SourceModel(Files& files, const std::string& folder)
    : config_(read_model_config(files, folder)), tensors_(files, folder) {
  const std::vector<std::string> problems = tensor_problems(tensors_, config_);
  BITMILL_CHECK(problems.empty(), FormatError,
                fmt::format("the tensors in {} do not fit its config.json:\n  {}", folder,
                            fmt::join(problems, "\n  ")));
}

BlockWeights SourceModel::load_block(int64_t block) const {
  const Family& family = *config_.family;
  BlockWeights weights;
  weights.input_norm = load_vector(block_tensor(config_, block, family.input_norm));
  weights.middle_norm = load_vector(block_tensor(config_, block, family.middle_norm));
  for (const LinearShape& shape : block_linears(config_, block)) {
    weights.linears.push_back(load_linear(shape));
  }
  return weights;
}

HeadWeights SourceModel::load_head() const {
  const Family& family = *config_.family;
  HeadWeights weights;
  weights.norm = load_vector(std::string(family.final_norm));
  // As transformers does it: a tied model's head is its embedding, whatever else the file holds.
  const std::string_view head = config_.tied_embeddings ? family.embedding : family.head;
  weights.head = load_matrix(std::string(head), config_.vocab_size, config_.hidden_size);
  return weights;
}

at::Tensor SourceModel::embed(std::span<const int32_t> ids) const {
  const std::string name(config_.family->embedding);
  const Dtype dtype = tensors_.info(name).dtype;
  const int64_t hidden = config_.hidden_size, row_bytes = hidden * dtype_bytes(dtype);
  at::Tensor out = at::empty({std::ssize(ids), hidden}, at::kFloat);
  std::vector<std::byte> row(row_bytes);
  for (int64_t i = 0; i < std::ssize(ids); ++i) {
    tensors_.read_part(name, ids[i] * row_bytes, row);
    const std::span<float> values(out.data_ptr<float>() + i * hidden, static_cast<size_t>(hidden));
    to_float32(dtype, row, values);
    const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
    BITMILL_CHECK(bad == values.end(), NumericError,
                  fmt::format("tensor \"{}\" is {} at [{}, {}]; the checkpoint is damaged", name,
                              *bad, ids[i], bad - values.begin()));
  }
  return out;
}

// Tensors are made by torch: its memory begins at a 64-byte boundary, and where a product's
// operands lie decides which of its code paths MKL takes, and so the last bits.
at::Tensor SourceModel::load_vector(const std::string& name) const {
  at::Tensor out = at::empty({config_.hidden_size}, at::kFloat);
  tensors_.read_float32(name, {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out;
}

at::Tensor SourceModel::load_matrix(const std::string& name, int64_t rows, int64_t cols) const {
  at::Tensor out = at::empty({rows, cols}, at::kFloat);
  tensors_.read_float32(name, {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out;
}

at::Tensor SourceModel::load_linear(const LinearShape& shape) const {
  if (!is_packed(tensors_, shape.tensor)) {
    return load_matrix(shape.tensor, shape.rows, shape.cols);
  }
  const PackedLinear packed = read_packed_linear(tensors_, shape.tensor, shape.rows, shape.cols);
  at::Tensor out = at::empty({shape.rows, shape.cols}, at::kFloat);
  dequantize(packed, {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out;
}

}  // namespace bitmill
