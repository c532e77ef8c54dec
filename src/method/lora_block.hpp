#pragma once
// A packed block with low-rank adapters on some of its linears (METHOD.md, "Preprocessing"). What
// is packed stays so in memory and does not change; A and B of each adapter are trained. The result
// is one dense weight: what is packed, plus scale B A, rounded to the type of the original's
// weight.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "device/device.hpp"
#include "format/dtype.hpp"
#include "format/packed_linear.hpp"
#include "method/trained_block.hpp"
#include "model/source_model.hpp"

namespace bitmill {

struct LoraSettings {
  int64_t rank = 64;
  double alpha = 16;
  double dropout = 0.1;
  double rate = 1e-4;  // of AdamW, before its schedule
  uint64_t seed = 0;   // of the first values and of the dropout
  // The linears with an adapter. A model without gates has no LinearRole::gate.
  std::set<LinearRole> targets = {LinearRole::query, LinearRole::key, LinearRole::value,
                                  LinearRole::gate,  LinearRole::up,  LinearRole::down};

  double scale() const { return alpha / static_cast<double>(rank); }
};

// The numbers that are trained of a block of this model.
int64_t lora_values(const ModelConfig& config, const LoraSettings& settings, int64_t block);

class LoraBlock final : public TrainedBlock {
 public:
  // Block `block` of the packed model `base`, to be computed on `device`; `original` says in which
  // types the result is stored. What is not packed waits on the host. All references outlive this
  // object; `rotary` is on the device. REQUIRES: the rank is at most that of each target's weight.
  LoraBlock(const SourceModel& base, const SourceModel& original, int64_t block,
            const LoraSettings& settings, const Rotary& rotary, const Device& device);

  const LearnedLayout& layout() const override { return *layout_; }
  // A uniform in +-1/sqrt(cols) from the seed, B zeros: the block is the packed one.
  at::Tensor first() const override;
  void scale(const at::Tensor&) const override {}  // what is trained are the learned values
  std::unique_ptr<StudentBlock> expand(const Backend& backend,
                                       const at::Tensor& values) const override;
  // Makes every weight of the result once.
  bool can_store(const at::Tensor& trained) const override;
  BlockWeights deployed(const at::Tensor& trained) const override;

  int64_t linears() const { return std::ssize(linears_); }
  const LinearShape& shape(size_t role) const { return linears_[role].shape; }
  // Whether the result has another weight than the original in this place of block_linears().
  bool changes(size_t role) const {
    return linears_[role].packed.has_value() || linears_[role].learns >= 0;
  }
  // That weight: [rows, cols] on the host, in the type of the original's; it may be not finite.
  at::Tensor merged(size_t role, const at::Tensor& trained) const;

 private:
  struct Linear {
    LinearShape shape;
    std::optional<PackedLinear> packed;
    at::Tensor kept;               // as it is stored, on the host; undefined where it is packed
    int learns = -1;               // its number among the targets; -1: no target
    Dtype dtype = Dtype::float32;  // of the original's weight
  };
  uint32_t number_of(size_t role) const;

  const ModelConfig& config_;
  const Rotary& rotary_;
  const Device& device_;
  const int64_t block_;
  const LoraSettings settings_;
  const BlockVectors vectors_;
  std::vector<Linear> linears_;
  std::optional<LearnedLayout> layout_;
};

}  // namespace bitmill
