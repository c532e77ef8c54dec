#pragma once
// The sum of a batch's units in the fixed tree, when it may be as large as a block's weights: cut
// into slices, of which every rank finishes and keeps its own. The bits do not depend on the number
// of ranks or threads.
//
// Memory of a rank: schedule/reduction_tree.hpp.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "pipeline/sums/tree_sum.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

class SlicedSum {
 public:
  // Every rank of `comm` is a replica; sums have `size` elements, float32.
  SlicedSum(int64_t size, Communicator& comm, ThreadPool& pool,
            int64_t floats_per_exchange = largest_exchange_floats);

  // Collective. This rank's slice, elements [begin(), end()) of the sum over the batch. `between`:
  // see sum_own_positions().
  at::Tensor reduce(int64_t batch_size, const SumUnit& unit,
                    const std::function<void()>& between = {});
  // The same, from what this rank has added up of its own positions (GrowingSums).
  at::Tensor reduce(int64_t batch_size, Partials own);

  // Collective, in place: slices of `values` [size()], each valid on its owner, become valid on
  // every rank.
  void gather(const at::Tensor& values);

  int64_t size() const { return bounds_.back(); }
  int64_t begin() const { return begin(comm_.rank()); }
  int64_t end() const { return end(comm_.rank()); }
  int64_t begin(int rank) const { return bounds_[rank]; }
  int64_t end(int rank) const { return bounds_[rank + 1]; }

 private:
  // The next floats_per_slice_ elements of every slice, from its `first` on, of my partial sums to
  // their owners; `slice` gets the finished sum of its own.
  void finish_piece(int64_t batch_size, const Partials& own, int64_t first,
                    const at::Tensor& slice);
  struct Piece {
    int64_t first, count;  // within a slice
  };
  Piece piece(int rank, int64_t first) const;
  int64_t slice_size(int rank) const { return end(rank) - begin(rank); }

  Communicator& comm_;
  ThreadPool& pool_;
  const Merge merge_;
  const std::vector<int64_t> bounds_;  // of slices, in elements
  const int64_t floats_per_slice_;     // in one exchange
};

}  // namespace bitmill
