#include "method/tuned_block.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "base/error.hpp"
#include "method/pack.hpp"
#include "model/device_weights.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

// What is learned of a packed linear. `first` holds the learned values at factors of 1.
LearnedTensors tuned_of(const PackedLinear& packed, double rate) {
  const auto tensor = [&](std::string_view name, int64_t size, const at::Tensor& first) {
    return LearnedTensor{std::string(name), {size}, rate, false, first};
  };
  return {tensor(part::row_scale, packed.rows, widened(packed.row_scale)),
          tensor(part::row_gain, packed.rows, {}),
          tensor(part::col_gain, packed.low_cols(), widened(packed.col_gain))};
}

}  // namespace

TunedBlock::TunedBlock(const SourceModel& model, int64_t block, double rate, const Rotary& rotary,
                       const Device& device)
    : config_(model.config()),
      rotary_(rotary),
      device_(device),
      vectors_(on_device(model.load_vectors(block), device)) {
  std::vector<LearnedTensors> learned;
  for (const LinearShape& shape : block_linears(config_, block)) {
    Linear& linear = linears_.emplace_back(Linear{shape, std::nullopt, {}});
    if (is_packed(model.tensors(), shape.tensor)) {
      linear.packed = read_packed_linear(model.tensors(), shape.tensor, shape.rows, shape.cols);
      learned.push_back(tuned_of(*linear.packed, rate));
    } else {
      linear.kept = model.load_linear(shape);
    }
  }
  layout_.emplace(learned);
  base_ = layout_->initial_values(learned, device.torch());
}

at::Tensor TunedBlock::first() const { return at::ones_like(base_); }

void TunedBlock::scale(const at::Tensor& flat) const { flat.mul_(base_); }

std::unique_ptr<StudentBlock> TunedBlock::expand(const Backend& backend,
                                                 const at::Tensor& values) const {
  std::vector<BlockLinear> linears;
  for (const Linear& linear : linears_) {
    BlockLinear& expanded = linears.emplace_back();
    if (linear.packed) {
      expanded.initial = unpack_linear(*linear.packed, device_);
    } else {
      expanded.kept = device_.bring(linear.kept, device_.operand());
    }
  }
  auto student = std::make_unique<StudentBlock>(config_, vectors_, linears, *layout_,
                                                LossSettings{}, backend, rotary_, device_.host());
  student->begin_step(values);
  return student;
}

std::vector<TunedBlock::NamedScales> TunedBlock::stored(const at::Tensor& factors) const {
  const at::Tensor values = factors.clone();
  scale(values);
  const std::vector<LearnedLinear> learned = layout_->views(device_.fetch(values));
  std::vector<NamedScales> all;
  for (const Linear& linear : linears_) {
    if (!linear.packed) continue;
    const std::string& name = linear.shape.tensor;
    all.push_back({name, round_scales(name, *linear.packed, learned[all.size()])});
  }
  return all;
}

bool TunedBlock::can_store(const at::Tensor& factors) const {
  try {
    stored(factors);
  } catch (const NumericError&) {
    return false;
  }
  return true;
}

BlockWeights TunedBlock::deployed(const at::Tensor& factors) const {
  std::vector<NamedScales> scales = stored(factors);
  BlockWeights out{vectors_, {}};
  std::vector<std::pair<size_t, StoredScales*>> packed_linears;
  for (size_t role = 0; role < linears_.size(); ++role) {
    const at::Tensor& kept = linears_[role].kept;
    out.linears.push_back(kept.defined() ? device_.bring(kept, device_.operand()) : kept);
    if (!linears_[role].packed) continue;
    packed_linears.emplace_back(role, &scales[packed_linears.size()].scales);
  }
  device_.for_units(std::ssize(packed_linears), [&](int64_t i) {
    const auto& [role, with] = packed_linears[static_cast<size_t>(i)];
    PackedLinear packed = *linears_[role].packed;
    packed.row_scale = std::move(with->row_scale);
    packed.row_mean = std::move(with->row_mean);
    packed.col_gain = std::move(with->col_gain);
    out.linears[role] = dense_on(device_, packed);
  });
  return out;
}

}  // namespace bitmill
