#pragma once
// Statistics of each linear's input, gathered during a forward of the teacher (METHOD.md, "The
// mask").

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.hpp"
#include "method/settings.hpp"
#include "model/block_forward.hpp"

namespace bitmill {

// Where the statistics of each linear's input channels lie in one flat vector. Every linear has its
// own part, even where several read the same input: this code need not know the families.
class SaliencyLayout {
 public:
  explicit SaliencyLayout(std::span<const LinearShape> linears);

  int64_t size() const { return offsets_.back(); }
  // The statistics of one linear in a flat tensor [size()]: a view [cols].
  at::Tensor part(const at::Tensor& flat, size_t linear) const;

 private:
  std::vector<int64_t> offsets_;  // linears + 1
};

// One sample's teacher forward: returns block(x) [T, hidden] and fills `statistics` ([size()]
// float64) with max |X_c| or sum |X_c| over the sample's tokens. They may be on a GPU; `statistics`
// may be there too, or on the host, and then each linear waits for its part.
at::Tensor probing_forward(const ModelConfig& config, const BlockWeights& weights,
                           const Rotary& rotary, const at::Tensor& x, Saliency kind,
                           const SaliencyLayout& layout, const at::Tensor& statistics,
                           ThreadPool& pool);

// into = into (+) from: the sum for Saliency::mean, the maximum for Saliency::max.
void merge_statistics(Saliency kind, const at::Tensor& into, const at::Tensor& from);

}  // namespace bitmill
