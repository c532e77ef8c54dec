#include "method/lora_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/pieces.hpp"
#include "base/random.hpp"
#include "device/host_product.hpp"
#include "model/device_weights.hpp"
#include "model/family.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

constexpr uint32_t most_linears = 16;  // of a block, for numbers of linears

LearnedTensors adapter_of(const LinearShape& shape, const LoraSettings& settings) {
  return {{std::string(part::lora_a), {settings.rank, shape.cols}, settings.rate},
          {std::string(part::lora_b), {shape.rows, settings.rank}, settings.rate}};
}

std::vector<LearnedTensors> adapters_of(const std::vector<LinearShape>& linears,
                                        const LoraSettings& settings) {
  std::vector<LearnedTensors> learned;
  for (const LinearShape& shape : linears) {
    if (settings.targets.contains(shape.role)) learned.push_back(adapter_of(shape, settings));
  }
  return learned;
}

// Uniform in [-bound, bound), from numbers that nothing else of the training uses.
void fill_uniform(const at::Tensor& values, uint64_t seed, uint32_t linear, double bound) {
  uint64_t index = uint64_t{linear} << 40;
  for (float& value : floats_of(values)) {
    value = static_cast<float>(
        bound * (2.0 * random_unit(seed, RandomPurpose::adapter_values, index++) - 1));
  }
}

}  // namespace

int64_t lora_values(const ModelConfig& config, const LoraSettings& settings, int64_t block) {
  return LearnedLayout(adapters_of(block_linears(config, block), settings)).size();
}

LoraBlock::LoraBlock(const SourceModel& base, const SourceModel& original, int64_t block,
                     const LoraSettings& settings, const Rotary& rotary, const Device& device)
    : config_(base.config()),
      rotary_(rotary),
      device_(device),
      block_(block),
      settings_(settings),
      vectors_(on_device(base.load_vectors(block), device)) {
  const std::vector<LinearShape> shapes = block_linears(config_, block);
  int targets = 0;
  for (const LinearShape& shape : shapes) {
    Linear& linear = linears_.emplace_back();
    linear.shape = shape;
    linear.dtype = original.tensors().info(shape.tensor).dtype;
    if (settings.targets.contains(shape.role)) linear.learns = targets++;
    if (is_packed(base.tensors(), shape.tensor)) {
      linear.packed = read_packed_linear(base.tensors(), shape.tensor, shape.rows, shape.cols);
    } else {
      const Dtype stored = base.tensors().info(shape.tensor).dtype;
      linear.kept = base.load_linear(shape).to(scalar_type(stored));
    }
  }
  layout_.emplace(adapters_of(shapes, settings));
}

uint32_t LoraBlock::number_of(size_t role) const {
  return static_cast<uint32_t>(block_) * most_linears + static_cast<uint32_t>(role);
}

at::Tensor LoraBlock::first() const {
  const at::Tensor flat = at::zeros({layout_->size()});
  const std::vector<LearnedLinear> views = layout_->views(flat);
  for (size_t role = 0; role < linears_.size(); ++role) {
    const Linear& linear = linears_[role];
    if (linear.learns < 0) continue;
    fill_uniform(views[static_cast<size_t>(linear.learns)][part::lora_a], settings_.seed,
                 number_of(role), 1 / std::sqrt(static_cast<double>(linear.shape.cols)));
  }
  return device_.bring(flat, at::kFloat);
}

std::unique_ptr<StudentBlock> LoraBlock::expand(const Backend& backend,
                                                const at::Tensor& values) const {
  std::vector<BlockLinear> linears(linears_.size());
  device_.for_units(std::ssize(linears_), [&](int64_t i) {
    const Linear& linear = linears_[static_cast<size_t>(i)];
    linears[static_cast<size_t>(i)].kept = linear.packed
                                               ? dense_on(device_, *linear.packed)
                                               : device_.bring(linear.kept, device_.operand());
  });
  for (size_t role = 0; role < linears_.size(); ++role) {
    if (linears_[role].learns < 0) continue;
    linears[role].adapter = Adapter{settings_.scale(), settings_.dropout, number_of(role)};
  }
  auto student = std::make_unique<StudentBlock>(config_, vectors_, linears, *layout_,
                                                LossSettings{}, backend, rotary_, device_.host());
  student->begin_step(values);
  return student;
}

at::Tensor LoraBlock::merged(size_t role, const at::Tensor& trained) const {
  const at::NoGradGuard no_grad;
  const Linear& linear = linears_[role];
  const LinearShape& shape = linear.shape;
  at::Tensor weight;
  if (linear.packed) {
    weight = at::empty({shape.rows, shape.cols});
    dequantize(*linear.packed, floats_of(weight));
  } else {
    weight = linear.kept.to(at::kFloat);
  }
  if (linear.learns >= 0) {
    const LearnedLinear factors = layout_->views(trained)[static_cast<size_t>(linear.learns)];
    const at::Tensor a = device_.fetch(factors[part::lora_a]);
    const at::Tensor b = device_.fetch(factors[part::lora_b]);
    at::Tensor sum = at::empty_like(weight);
    parallel_pieces(device_.host(), shape.rows, rows_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard quiet;
      at::Tensor part = sum.narrow(0, first, count);
      host_product_into(part, b.narrow(0, first, count), a);
      part.mul_(settings_.scale()).add_(weight.narrow(0, first, count));
    });
    weight = sum;
  }
  return weight.to(scalar_type(linear.dtype));
}

bool LoraBlock::can_store(const at::Tensor& trained) const {
  for (size_t role = 0; role < linears_.size(); ++role) {
    if (changes(role) && !at::isfinite(merged(role, trained)).all().item<bool>()) return false;
  }
  return true;
}

BlockWeights LoraBlock::deployed(const at::Tensor& trained) const {
  BlockWeights out{vectors_, {}};
  for (size_t role = 0; role < linears_.size(); ++role) {
    const at::Tensor weight = changes(role) ? merged(role, trained) : linears_[role].kept;
    out.linears.push_back(device_.bring(weight, device_.operand()));
  }
  return out;
}

}  // namespace bitmill
