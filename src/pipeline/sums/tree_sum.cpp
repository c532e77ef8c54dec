#include "pipeline/sums/tree_sum.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "base/pieces.hpp"

namespace bitmill {

at::Tensor SumMemory::take(const FlatShape& shape) {
  for (const at::Tensor& one : all_) {
    if (one.numel() != shape.length) continue;
    if (one.use_count() == 1 && one.storage().use_count() == 1) return one;
  }
  return all_.emplace_back(at::empty({shape.length}, at::dtype(shape.dtype).device(shape.device)));
}

GrowingSums::GrowingSums(int64_t n, int replicas, int replica, const FlatShape& shape,
                         SumMemory* memory)
    : shape_(shape),
      memory_(memory != nullptr ? *memory : own_memory_),
      additions_(local_additions(n, replicas, replica)) {}

void GrowingSums::open(const PositionRange& positions) {
  for (int64_t p = positions.begin; p < positions.end; ++p) {
    partials_[p] = memory_.take(shape_);
  }
}

void GrowingSums::merge_before(int64_t end, const Merge& merge) {
  for (; next_ < additions_.size() && additions_[next_].node.end <= end; ++next_) {
    merge(partials_.at(additions_[next_].into), partials_.at(additions_[next_].from));
    partials_.erase(additions_[next_].from);
  }
}

Partials sum_own_positions(int64_t n, int replicas, int replica, const FlatShape& shape,
                           const Device& device, const SumUnit& unit, const Merge& merge,
                           const std::function<void()>& between, SumMemory* memory) {
  const PositionRange own = owned_positions(n, replicas, replica);
  GrowingSums sums(n, replicas, replica, shape, memory);
  for (int64_t first = own.begin; first < own.end; first += device.lanes()) {
    const int64_t last = std::min<int64_t>(own.end, first + device.lanes());
    sums.open({first, last});
    device.for_units(last - first, [&](int64_t i) { unit(first + i, sums.at(first + i)); });
    sums.merge_before(last, merge);
    if (between) between();
  }
  return sums.take();
}

at::Tensor finish_tree(int64_t n, int replicas, const Partials& partials, const Merge& merge) {
  for (const TreeAddition& addition : final_additions(n, replicas)) {
    merge(partials.at(addition.into), partials.at(addition.from));
  }
  return partials.at(0);
}

void add_spread(const at::Tensor& into, const at::Tensor& from, ThreadPool& pool) {
  if (into.is_cuda()) {
    into.add_(from);
    return;
  }
  parallel_pieces(pool, into.numel(), elements_per_task, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    into.narrow(0, first, count).add_(from.narrow(0, first, count));
  });
}

}  // namespace bitmill
