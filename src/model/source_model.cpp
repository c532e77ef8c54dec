#include "model/source_model.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstring>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "format/companions.hpp"
#include "format/packed_linear.hpp"
#include "model/config_keys.hpp"
#include "model/folder_check.hpp"
#include "model/tensor_floats.hpp"
#include "model/tensor_prefix.hpp"

namespace bitmill {
namespace {

// Both are float32 and contiguous, or undefined.
void share_if_equal(at::Tensor& tensor, const at::Tensor& other) {
  if (!tensor.defined() || !other.defined() || tensor.sizes() != other.sizes()) return;
  if (std::memcmp(tensor.const_data_ptr(), other.const_data_ptr(), tensor.nbytes()) == 0) {
    tensor = other;
  }
}

std::string needless_key_text(const std::string& key) {
  const std::string_view reason = why_neutral(key);
  if (!reason.empty()) {
    return fmt::format(
        "--allow-key {}: bitmill knows that this key changes nothing ({}); leave it out", key,
        reason);
  }
  return fmt::format(
      "--allow-key {} allows nothing: config.json has no such key, or bitmill reads it; correct "
      "the "
      "name, or leave it out",
      key);
}

// UsageError names a key that was allowed and that none of the configurations needed.
void check_keys_are_needed(const ModelReading& reading,
                           std::span<const ModelConfig* const> configs) {
  for (const std::string& key : reading.allowed_keys) {
    const bool needed = std::ranges::any_of(configs, [&](const ModelConfig* config) {
      return std::ranges::find(config->allowed_keys, key) != config->allowed_keys.end();
    });
    BITMILL_CHECK(needed, UsageError, needless_key_text(key));
  }
}

}  // namespace

SourceModel::SourceModel(Files& files, const std::string& folder, const ModelReading& reading)
    : config_(read_model_config(files, folder, reading)),
      tensors_(open_tensors(files, folder, reading, *config_.family)) {
  const bool config_ties = config_.tied_embeddings;
  resolve_against(tensors_, config_);
  const std::vector<std::string> problems = tensor_problems(tensors_, config_);
  BITMILL_CHECK(problems.empty(), FormatError,
                fmt::format("the tensors in {} do not fit its config.json:\n  {}", folder,
                            fmt::join(problems, "\n  ")));
  check_no_adapter(files, folder);
  notes_ = tensor_notes(tensors_, config_);
  if (config_ties && !config_.tied_embeddings) {
    notes_.push_back(fmt::format(
        "config.json of {} ties head and embedding, and both are stored: each is used as it is "
        "stored, as transformers 5 does",
        folder));
  }
}

BlockWeights SourceModel::load_block(int64_t block) const {
  BlockWeights weights{load_vectors(block), {}};
  for (const LinearShape& shape : block_linears(config_, block)) {
    weights.linears.push_back(load_linear(shape));
  }
  return weights;
}

BlockVectors SourceModel::load_vectors(int64_t block, TensorHashes* hashes) const {
  const TensorNames& names = config_.family->names;
  const auto norm = [&](std::string_view name, int64_t size) {
    return name.empty() ? Norm{} : load_norm(block_tensor(config_, block, name), size, hashes);
  };
  BlockVectors vectors = {.input_norm = norm(names.input_norm, config_.hidden_size),
                          .middle_norm = norm(names.middle_norm, config_.hidden_size),
                          .query_norm = norm(names.query_norm, config_.head_dim),
                          .key_norm = norm(names.key_norm, config_.head_dim),
                          .biases = {}};
  for (const LinearSpec& spec : config_.family->linears) {
    const std::string bias = block_tensor(config_, block, spec.name) + ".bias";
    vectors.biases.push_back(spec.has_bias(config_) ? load(bias, {spec.rows(config_)}, hashes)
                                                    : at::Tensor());
  }
  return vectors;
}

HeadWeights SourceModel::load_head_input() const {
  const TensorNames& names = config_.family->names;
  const int64_t hidden = config_.hidden_size, embedding = config_.embedding_size;
  HeadWeights weights;
  if (config_.final_norm) {
    weights.norm = load_norm(outer_tensor(config_, names.final_norm), hidden);
  }
  if (embedding != hidden) {
    weights.projection =
        load(outer_tensor(config_, names.project_out) + ".weight", {embedding, hidden});
  }
  return weights;
}

HeadWeights SourceModel::load_head(const HeadWeights& like) const {
  HeadWeights weights = load_head_input();
  weights.head = load(head_tensor(config_), {config_.vocab_size, config_.embedding_size});
  share_if_equal(weights.projection, like.projection);
  share_if_equal(weights.head, like.head);
  return weights;
}

at::Tensor SourceModel::embed(std::span<const int32_t> ids, int64_t first) const {
  assert(first + std::ssize(ids) <= config_.context);
  const Family& family = *config_.family;
  const int64_t hidden = config_.hidden_size, embedding = config_.embedding_size;
  const auto rows_of = [&](const std::string& name, int64_t width, auto row_at) {
    const at::Tensor out = at::empty({std::ssize(ids), width}, at::kFloat);
    for (int64_t i = 0; i < std::ssize(ids); ++i) {
      read_row(name, row_at(i), {out.data_ptr<float>() + i * width, static_cast<size_t>(width)});
    }
    return out;
  };
  at::Tensor x = rows_of(embedding_tensor(config_), embedding, [&](int64_t i) { return ids[i]; });
  if (embedding != hidden) {
    const std::string name = outer_tensor(config_, family.names.project_in) + ".weight";
    x = at::mm(x, load(name, {hidden, embedding}).t());
  }
  if (family.positions == Positions::learned) {
    x += rows_of(outer_tensor(config_, family.names.positions) + ".weight", hidden,
                 [&](int64_t i) { return first + i + family.position_offset; });
  }
  return x;
}

void SourceModel::read_row(const std::string& name, int64_t row, std::span<float> values) const {
  const Dtype dtype = tensors_.info(name).dtype;
  std::vector<std::byte> raw(values.size() * static_cast<size_t>(dtype_bytes(dtype)));
  tensors_.read_part(name, row * std::ssize(raw), raw);
  to_float32(dtype, raw, values);
  const auto bad = std::ranges::find_if_not(values, [](float v) { return std::isfinite(v); });
  BITMILL_CHECK(bad == values.end(), NumericError,
                fmt::format("tensor \"{}\" is {} at [{}, {}]; the checkpoint is damaged", name,
                            *bad, row, bad - values.begin()));
}

void check_is_needed(const ModelReading& reading, std::span<const SourceModel* const> models) {
  std::vector<const ModelConfig*> configs;
  for (const SourceModel* model : models) configs.push_back(&model->config());
  check_keys_are_needed(reading, configs);
  const bool cut = std::ranges::any_of(
      models, [](const SourceModel* model) { return model->tensors().renamed(); });
  BITMILL_CHECK(
      reading.tensor_prefix.empty() || cut, UsageError,
      fmt::format("--tensor-prefix {}: no tensor has a name that begins with it; leave it "
                  "out, or give what the names begin with",
                  reading.tensor_prefix));
}

void check_is_needed(const ModelReading& reading, const ModelConfig& config) {
  check_keys_are_needed(reading, std::array{&config});
}

Norm SourceModel::load_norm(const std::string& name, int64_t size, TensorHashes* hashes) const {
  Norm norm;
  if (!config_.norm_weights) return norm;
  norm.weight = load(name + ".weight", {size}, hashes);
  if (config_.family->norm == NormKind::layer) norm.bias = load(name + ".bias", {size}, hashes);
  return norm;
}

// Tensors are made by torch, whose memory begins at a 64-byte boundary. The alignment of a
// product's operands decides which code path MKL takes, and so the last bits.
at::Tensor SourceModel::load(const std::string& name, at::IntArrayRef shape,
                             TensorHashes* hashes) const {
  at::Tensor out = at::empty(shape, at::kFloat);
  if (hashes == nullptr) {
    tensors_.read_float32(name, floats_of(out));
    return out;
  }
  Hasher hasher;
  tensors_.read_float32(name, floats_of(out), [&](auto bytes) { hasher.add(bytes); });
  (*hashes)[name] = hasher.hex();
  return out;
}

at::Tensor SourceModel::load_linear(const LinearShape& shape, TensorHashes* hashes) const {
  if (!is_packed(tensors_, shape.tensor)) {
    return load(shape.tensor, {shape.rows, shape.cols}, hashes);
  }
  const PackedLinear packed = read_packed_linear(tensors_, shape.tensor, shape.rows, shape.cols);
  at::Tensor out = at::empty({shape.rows, shape.cols}, at::kFloat);
  dequantize(packed, floats_of(out));
  return out;
}

}  // namespace bitmill
