#pragma once
// A packed block that is tuned (METHOD.md, "Tuning"): its scales, and its signs where they are
// learned. A row has two factors: one multiplies both alpha r1 and mu r1, the other alpha r1 alone.
// A low column has one factor, which multiplies r2. Where 4-bit scales are learned, a row has one
// more, which multiplies s. All factors begin at 1. Signs are learned as those of latents.

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
#include "method/tuned_parts.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// The words of the signs of each packed linear of a block, in order, as in PackedLinear.
using BlockSigns = std::vector<std::vector<uint32_t>>;

// The block stays packed in memory. expand() makes what a pass needs, and the caller drops it
// afterwards.
class TunedBlock final : public TrainedBlock {
 public:
  // Block `block` of a packed model, to be computed on `device`; the packed words and linears that
  // are not packed, which are not changed, wait on the host. `model`, `device` and `rotary`, which
  // is on the device, must outlive this object, and so must `original`: the model that was packed.
  // first() reads it, where signs are learned; it may be null where they are not. `signs`, if
  // given, take the place of those that the model has.
  TunedBlock(const SourceModel& model, int64_t block, const TunedParts& parts,
             const SourceModel* original, const Rotary& rotary, const Device& device,
             const BlockSigns* signs = nullptr);

  // The segments of each packed linear hold its factors, row_scale (of alpha r1 alone), row_gain
  // (the common one), col_gain and perhaps code_scale, and its latents, which are large. These are
  // trained as they are.
  const LearnedLayout& layout() const override { return *layout_; }
  at::Tensor first() const override;
  void scale(const at::Tensor& flat) const override;
  std::unique_ptr<StudentBlock> expand(const Backend& backend,
                                       const at::Tensor& values) const override;

  // The scales of the packed linears, in order, rounded once to what is stored. `factors`: what is
  // trained, as far as it is small, [layout().small_size()].
  struct NamedScales {
    std::string name;  // of the weight
    StoredScales scales;
  };
  // NumericError where one does not fit.
  std::vector<NamedScales> stored(const at::Tensor& factors) const;
  // The signs with what is trained; the given ones where they are not learned.
  BlockSigns signs(const at::Tensor& trained) const;
  bool can_store(const at::Tensor& trained) const override;
  BlockWeights deployed(const at::Tensor& trained) const override;

 private:
  struct Linear {
    LinearShape shape;
    std::optional<PackedLinear> packed;
    at::Tensor kept;  // float32, on the host; undefined where it is packed
  };

  at::Tensor small(const at::Tensor& trained) const {
    return trained.narrow(0, 0, layout_->small_size());
  }

  const ModelConfig& config_;
  const TunedParts parts_;
  const SourceModel* const original_;
  const Rotary& rotary_;
  const Device& device_;
  const BlockVectors vectors_;
  std::vector<Linear> linears_;
  std::optional<LearnedLayout> layout_;
  std::optional<LearnedLayout> factors_;  // the same without latents
  at::Tensor base_;                       // [small_size] learned values at factors of 1
};

}  // namespace bitmill
