#include "pipeline/tuning/tuned_stage.hpp"

#include "base/error.hpp"

namespace bitmill {

TunedStage::TunedStage(const SourceModel& model, const PositionRange& blocks, double rate,
                       const Rotary& rotary, const Device& device)
    : first_(blocks.begin) {
  std::vector<const LearnedLayout*> layouts;
  int64_t offset = 0;
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    blocks_.push_back(std::make_unique<TunedBlock>(model, block, rate, rotary, device));
    layouts.push_back(&blocks_.back()->layout());
    offsets_.push_back(offset);
    offset += layouts.back()->size();
  }
  layout_.emplace(layouts);
}

void TunedStage::take(const at::Tensor& factors) {
  values_ = factors.clone();
  for (int i = 0; i < blocks(); ++i) block(i).scale(values(i));
}

bool TunedStage::can_store(const at::Tensor& factors) const {
  try {
    for (int i = 0; i < blocks(); ++i) block(i).stored(part(i, factors));
  } catch (const NumericError&) {
    return false;
  }
  return true;
}

}  // namespace bitmill
