#pragma once
// A packed block whose scales are tuned (METHOD.md, "Tuning"). A row has two factors: one
// multiplies both alpha r1 and mu r1, the other alpha r1 alone. A low column has one factor, which
// multiplies r2. All factors begin at 1.

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/device.hpp"
#include "format/packed_linear.hpp"
#include "method/pack.hpp"
#include "method/student_block.hpp"
#include "method/trained_block.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// The block stays packed in memory. expand() makes what a pass needs, and the caller drops it
// afterwards.
class TunedBlock final : public TrainedBlock {
 public:
  // Block `block` of a packed model, to be computed on `device`; the packed words and linears that
  // are not packed, which are not changed, wait on the host. `model`, `device` and `rotary`, which
  // is on the device, must outlive this object. `rate` is the learning rate of all factors, before
  // the schedule.
  TunedBlock(const SourceModel& model, int64_t block, double rate, const Rotary& rotary,
             const Device& device);

  // The segments of each packed linear hold its factors: row_scale (of alpha r1 alone), row_gain
  // (the common one) and col_gain.
  const LearnedLayout& layout() const override { return *layout_; }
  at::Tensor first() const override;
  void scale(const at::Tensor& flat) const override;
  std::unique_ptr<StudentBlock> expand(const Backend& backend,
                                       const at::Tensor& values) const override;

  // The scales of the packed linears, in order, with these factors, rounded once to what is stored.
  struct NamedScales {
    std::string name;  // of the weight
    StoredScales scales;
  };
  // NumericError where one does not fit.
  std::vector<NamedScales> stored(const at::Tensor& factors) const;
  bool can_store(const at::Tensor& factors) const override;
  BlockWeights deployed(const at::Tensor& factors) const override;

 private:
  struct Linear {
    LinearShape shape;
    std::optional<PackedLinear> packed;
    at::Tensor kept;  // float32, on the host; undefined where it is packed
  };

  const ModelConfig& config_;
  const Rotary& rotary_;
  const Device& device_;
  const BlockVectors vectors_;
  std::vector<Linear> linears_;
  std::optional<LearnedLayout> layout_;
  at::Tensor base_;  // learned values at factors of 1
};

}  // namespace bitmill
