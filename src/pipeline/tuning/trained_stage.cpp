#include "pipeline/tuning/trained_stage.hpp"

#include <ATen/ATen.h>

#include <utility>

namespace bitmill {

TrainedStage::TrainedStage(const PositionRange& blocks, const Maker& make) : first_(blocks.begin) {
  for (int64_t block = blocks.begin; block < blocks.end; ++block) blocks_.push_back(make(block));
  lay_out();
}

void TrainedStage::put(int i, std::unique_ptr<TrainedBlock> block) {
  blocks_[static_cast<size_t>(i)] = std::move(block);
  trained_.reset();
  lay_out();
}

void TrainedStage::lay_out() {
  std::vector<const LearnedLayout*> layouts;
  int64_t offset = 0;
  offsets_.clear();
  for (const auto& block : blocks_) {
    layouts.push_back(&block->layout());
    offsets_.push_back(offset);
    offset += layouts.back()->size();
  }
  layout_.emplace(layouts);
}

at::Tensor TrainedStage::first() const {
  if (blocks_.empty()) return at::empty({0});
  at::Tensor all;
  for (int i = 0; i < blocks(); ++i) {
    const at::Tensor one = block(i).first();
    if (!all.defined()) all = at::empty({layout_->size()}, one.options());
    part(i, all).copy_(one);
  }
  return all;
}

at::Tensor TrainedStage::small(const at::Tensor& flat) const {
  std::vector<at::Tensor> all = {at::empty({0}, flat.options())};
  for (int i = 0; i < blocks(); ++i) {
    all.push_back(part(i, flat).narrow(0, 0, block(i).layout().small_size()));
  }
  return at::cat(all);
}

void TrainedStage::set_small(const at::Tensor& flat, const at::Tensor& values) const {
  int64_t first = 0;
  for (int i = 0; i < blocks(); ++i) {
    const int64_t size = block(i).layout().small_size();
    part(i, flat).narrow(0, 0, size).copy_(values.narrow(0, first, size));
    first += size;
  }
}

at::Tensor TrainedStage::values(int i) const {
  at::Tensor values = part(i, trained_).clone();
  block(i).scale(values);
  return values;
}

bool TrainedStage::can_store(const at::Tensor& trained) const {
  for (int i = 0; i < blocks(); ++i) {
    if (!block(i).can_store(part(i, trained))) return false;
  }
  return true;
}

}  // namespace bitmill
