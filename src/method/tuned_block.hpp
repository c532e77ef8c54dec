#pragma once
// A packed block whose scales are tuned (METHOD.md, "Tuning"): per row a factor common to alpha r1
// and mu r1 and one of alpha r1 alone, per column one of r2. The factors begin at 1.

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/packed_linear.hpp"
#include "method/pack.hpp"
#include "method/student_block.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Stays packed in memory: what a pass needs is made for it by expand(), and dropped by the caller.
class TunedBlock {
 public:
  // Block `block` of a packed model. Linears that are not packed stay as they are. `model`, `pool`
  // and `rotary` outlive it. `rate`: of all factors, before the schedule.
  TunedBlock(const SourceModel& model, int64_t block, double rate, const Rotary& rotary,
             ThreadPool& pool);

  // Factors as segments row_scale (of alpha alone), row_gain (the common one) and col_gain of each
  // packed linear. Flat tensors are [layout().size()] float32.
  const LearnedLayout& layout() const { return *layout_; }
  // In place: what a gradient of learned values is taken times to be one of the factors; and
  // factors, to be learned values.
  void scale(const at::Tensor& flat) const;

  // Operands in float32. At most one block's at a time should live.
  std::unique_ptr<StudentBlock> expand(const Backend& backend) const;

  // Of the packed linears in order, rounded once to what is stored with these factors.
  struct NamedScales {
    std::string name;  // of the weight
    StoredScales scales;
  };
  std::vector<NamedScales> stored(const at::Tensor& factors) const;
  // The block as it would be read back with these factors.
  BlockWeights deployed(const at::Tensor& factors) const;

 private:
  struct Linear {
    LinearShape shape;
    std::optional<PackedLinear> packed;
    at::Tensor kept;  // float32; undefined where it is packed
  };

  const ModelConfig& config_;
  const Rotary& rotary_;
  ThreadPool& pool_;
  const BlockVectors vectors_;
  std::vector<Linear> linears_;
  std::optional<LearnedLayout> layout_;
  at::Tensor base_;  // learned values at factors of 1
};

}  // namespace bitmill
