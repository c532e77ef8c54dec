#include "method/tuned_block.hpp"

#include <ATen/ATen.h>

#include <cassert>
#include <utility>

#include "backend/learned_parts.hpp"
#include "method/first_latents.hpp"
#include "method/pack.hpp"
#include "model/device_weights.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

// The factors of a packed linear. `first` holds the learned values at factors of 1.
LearnedTensors factors_of(const PackedLinear& packed, const TunedParts& parts) {
  const auto tensor = [&](std::string_view name, int64_t size, const at::Tensor& first) {
    return LearnedTensor{std::string(name), {size}, parts.rate, false, first};
  };
  LearnedTensors all = {tensor(part::row_scale, packed.rows, widened(packed.row_scale)),
                        tensor(part::row_gain, packed.rows, {}),
                        tensor(part::col_gain, packed.low_cols(), widened(packed.col_gain))};
  if (parts.code_scales) {
    all.push_back(tensor(part::code_scale, packed.rows, widened(packed.code_scale)));
  }
  return all;
}

LearnedTensor latents_of(const PackedLinear& packed, const TunedParts& parts) {
  return {.name = std::string(part::latents),
          .shape = {packed.rows, packed.low_cols()},
          .rate = parts.sign_rate,
          .large = true,
          .window = straight_through_window};
}

}  // namespace

TunedBlock::TunedBlock(const SourceModel& model, int64_t block, const TunedParts& parts,
                       const SourceModel* original, const Rotary& rotary, const Device& device,
                       const BlockSigns* signs)
    : config_(model.config()),
      parts_(parts),
      original_(original),
      rotary_(rotary),
      device_(device),
      vectors_(on_device(model.load_vectors(block), device)) {
  std::vector<LearnedTensors> factors, learned;
  for (const LinearShape& shape : block_linears(config_, block)) {
    Linear& linear = linears_.emplace_back(Linear{shape, std::nullopt, {}});
    if (!is_packed(model.tensors(), shape.tensor)) {
      linear.kept = model.load_linear(shape);
      continue;
    }
    linear.packed = read_packed_linear(model.tensors(), shape.tensor, shape.rows, shape.cols);
    if (signs != nullptr) linear.packed->signs = signs->at(factors.size());
    factors.push_back(factors_of(*linear.packed, parts));
    learned.push_back(factors.back());
    if (parts.signs) learned.back().push_back(latents_of(*linear.packed, parts));
  }
  layout_.emplace(learned);
  factors_.emplace(factors);
  assert(factors_->size() == layout_->small_size());
  base_ = factors_->initial_values(factors, device.torch());
}

at::Tensor TunedBlock::first() const {
  at::Tensor trained = at::ones({layout_->size()}, base_.options());
  if (!parts_.signs) return trained;
  const std::vector<LearnedLinear> views = layout_->views(trained);
  size_t next = 0;
  for (const Linear& linear : linears_) {
    if (!linear.packed) continue;
    views[next++][part::latents].copy_(
        first_latents(*linear.packed, original_->load_linear(linear.shape), device_.host()));
  }
  return trained;
}

void TunedBlock::scale(const at::Tensor& flat) const { small(flat).mul_(base_); }

std::unique_ptr<StudentBlock> TunedBlock::expand(const Backend& backend,
                                                 const at::Tensor& values) const {
  std::vector<BlockLinear> linears;
  for (const Linear& linear : linears_) {
    BlockLinear& expanded = linears.emplace_back();
    if (linear.packed) {
      expanded.initial = unpack_linear(*linear.packed, device_, !parts_.signs);
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
  const std::vector<LearnedLinear> learned = factors_->views(device_.fetch(values));
  std::vector<NamedScales> all;
  for (const Linear& linear : linears_) {
    if (!linear.packed) continue;
    const std::string& name = linear.shape.tensor;
    all.push_back({name, round_scales(name, *linear.packed, learned[all.size()])});
  }
  return all;
}

BlockSigns TunedBlock::signs(const at::Tensor& trained) const {
  BlockSigns all;
  if (!parts_.signs) {
    for (const Linear& linear : linears_) {
      if (linear.packed) all.push_back(linear.packed->signs);
    }
    return all;
  }
  const std::vector<LearnedLinear> views = layout_->views(trained);
  all.resize(views.size());
  device_.for_units(std::ssize(views), [&](int64_t i) {
    all[static_cast<size_t>(i)] = pack_latents(views[static_cast<size_t>(i)][part::latents]);
  });
  return all;
}

bool TunedBlock::can_store(const at::Tensor& trained) const {
  try {
    stored(small(trained));
  } catch (const NumericError&) {
    return false;
  }
  return true;
}

BlockWeights TunedBlock::deployed(const at::Tensor& trained) const {
  std::vector<NamedScales> scales = stored(small(trained));
  BlockSigns signs = this->signs(trained);
  BlockWeights out{vectors_, {}};
  std::vector<size_t> packed_roles;
  for (size_t role = 0; role < linears_.size(); ++role) {
    const at::Tensor& kept = linears_[role].kept;
    out.linears.push_back(kept.defined() ? device_.bring(kept, device_.operand()) : kept);
    if (linears_[role].packed) packed_roles.push_back(role);
  }
  device_.for_units(std::ssize(packed_roles), [&](int64_t i) {
    const auto index = static_cast<size_t>(i);
    StoredScales& with = scales[index].scales;
    PackedLinear packed = *linears_[packed_roles[index]].packed;
    packed.signs = std::move(signs[index]);
    packed.row_scale = std::move(with.row_scale);
    packed.row_mean = std::move(with.row_mean);
    packed.col_gain = std::move(with.col_gain);
    packed.code_scale = std::move(with.code_scale);
    out.linears[packed_roles[index]] = dense_on(device_, packed);
  });
  return out;
}

}  // namespace bitmill
