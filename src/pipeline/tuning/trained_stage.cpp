#include "pipeline/tuning/trained_stage.hpp"

#include <ATen/ATen.h>

namespace bitmill {

TrainedStage::TrainedStage(const PositionRange& blocks, const Maker& make) : first_(blocks.begin) {
  std::vector<const LearnedLayout*> layouts;
  int64_t offset = 0;
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    blocks_.push_back(make(block));
    layouts.push_back(&blocks_.back()->layout());
    offsets_.push_back(offset);
    offset += layouts.back()->size();
  }
  layout_.emplace(layouts);
}

at::Tensor TrainedStage::first() const {
  std::vector<at::Tensor> all;
  for (const auto& block : blocks_) all.push_back(block->first());
  return at::cat(all);
}

void TrainedStage::take(const at::Tensor& trained) {
  values_ = trained.clone();
  for (int i = 0; i < blocks(); ++i) block(i).scale(values(i));
}

bool TrainedStage::can_store(const at::Tensor& trained) const {
  for (int i = 0; i < blocks(); ++i) {
    if (!block(i).can_store(part(i, trained))) return false;
  }
  return true;
}

}  // namespace bitmill
