#include "method/tuned_block.hpp"

#include <ATen/ops/empty.h>

#include "method/pack.hpp"
#include "model/family.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {

TunedBlock::TunedBlock(const SourceModel& model, int64_t block, double rate, const Rotary& rotary,
                       ThreadPool& pool)
    : config_(model.config()), rotary_(rotary), pool_(pool), vectors_(model.load_vectors(block)) {
  std::vector<InitialLinear> vectors;
  for (const LinearShape& shape : block_linears(config_, block)) {
    Linear& linear = linears_.emplace_back(Linear{shape, std::nullopt, {}});
    if (is_packed(model.tensors(), shape.tensor)) {
      linear.packed = read_packed_linear(model.tensors(), shape.tensor, shape.rows, shape.cols);
      vectors.push_back(unpack_vectors(*linear.packed));
    } else {
      linear.kept = model.load_linear(shape);
    }
  }
  MethodSettings settings;
  settings.lr_scale = settings.lr_gain = rate;
  layout_.emplace(vectors, settings);
  base_ = layout_->initial_values(vectors);
  std::vector<LearnedLinear> values = layout_->views(base_);
  size_t next = 0;
  for (const Linear& linear : linears_) {
    if (linear.packed) values[next++].col_gain.copy_(widened(linear.packed->col_gain));
  }
}

void TunedBlock::scale(std::span<float> flat) const {
  for (size_t i = 0; i < flat.size(); ++i) flat[i] *= base_[i];
}

std::unique_ptr<StudentBlock> TunedBlock::expand(const Backend& backend) const {
  std::vector<BlockLinear> linears;
  for (const Linear& linear : linears_) {
    linears.push_back(linear.packed ? BlockLinear{unpack_linear(*linear.packed, pool_), {}}
                                    : BlockLinear{{}, linear.kept});
  }
  return std::make_unique<StudentBlock>(config_, vectors_, linears, *layout_, LossSettings{},
                                        backend, rotary_, pool_);
}

std::vector<TunedBlock::NamedScales> TunedBlock::stored(std::span<const float> factors) const {
  std::vector<float> values(factors.begin(), factors.end());
  scale(values);
  const std::vector<LearnedLinear> learned = layout_->views(values);
  std::vector<NamedScales> all;
  for (const Linear& linear : linears_) {
    if (!linear.packed) continue;
    const std::string& name = linear.shape.tensor;
    all.push_back({name, round_scales(name, *linear.packed, learned[all.size()])});
  }
  return all;
}

BlockWeights TunedBlock::deployed(std::span<const float> factors) const {
  std::vector<NamedScales> scales = stored(factors);
  BlockWeights out{vectors_, {}};
  size_t next = 0;
  for (const Linear& linear : linears_) {
    if (!linear.packed) {
      out.linears.push_back(linear.kept);
      continue;
    }
    PackedLinear packed = *linear.packed;
    StoredScales& with = scales[next++].scales;
    packed.row_scale = std::move(with.row_scale);
    packed.row_mean = std::move(with.row_mean);
    packed.col_gain = std::move(with.col_gain);
    at::Tensor dense = at::empty({packed.rows, packed.cols});
    dequantize(packed, floats_of(dense));
    out.linears.push_back(std::move(dense));
  }
  return out;
}

}  // namespace bitmill
