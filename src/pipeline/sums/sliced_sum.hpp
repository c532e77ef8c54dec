#pragma once
// The sum of a batch's units in the fixed tree, for sums that may be as large as a block's weights.
// They are cut into slices: each rank finishes and keeps its own slice. The bits do not depend on
// the number of ranks or threads.
//
// The memory of a rank is described in schedule/reduction_tree.hpp.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "channel/channel.hpp"
#include "device/device.hpp"
#include "pipeline/ranks/replicas.hpp"
#include "pipeline/sums/tree_sum.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

class SlicedSum {
 public:
  // Sums have `size` elements, float32, and lie on the device. Between replicas they travel from
  // there, where replicas.tensors takes them so, or through the host's memory.
  SlicedSum(int64_t size, const Replicas& replicas, const Device& device,
            int64_t floats_per_exchange = largest_exchange_floats);

  // Collective. Returns this rank's slice, elements [begin(), end()), of the sum over the batch.
  // `between`: see sum_own_positions().
  at::Tensor reduce(int64_t batch_size, const SumUnit& unit,
                    const std::function<void()>& between = {});
  // The same, with the sums over this rank's own positions already made (GrowingSums).
  at::Tensor reduce(int64_t batch_size, Partials own);

  // Collective, in place. Before, each slice of `values` [size()] is valid on its owner only;
  // afterwards, on every rank.
  void gather(const at::Tensor& values);

  int64_t size() const { return bounds_.back(); }
  int64_t begin() const { return begin(comm_.rank()); }
  int64_t end() const { return end(comm_.rank()); }
  int64_t begin(int rank) const { return bounds_[rank]; }
  int64_t end(int rank) const { return bounds_[rank + 1]; }

 private:
  // Sends one piece of every slice, from this rank's partial sums, to the owners of the slices: at
  // most floats_per_slice_ elements, from `first` of the slice on. Writes the finished sum of the
  // own piece to `slice`.
  void finish_piece(int64_t batch_size, const Partials& own, int64_t first,
                    const at::Tensor& slice);
  struct Piece {
    int64_t first, count;  // elements, within a slice
  };
  Piece piece(int rank, int64_t first) const;
  int64_t slice_size(int rank) const { return end(rank) - begin(rank); }

  at::Tensor room(int64_t rows, int64_t columns) const;  // where the channel takes tensors

  Communicator& comm_;
  const std::unique_ptr<Channel> by_host_;  // where the replicas have no channel of their own
  Channel& channel_;
  const Device& device_;
  const Merge merge_;
  SumMemory memory_;
  const std::vector<int64_t> bounds_;  // of slices, in elements
  const int64_t floats_per_slice_;     // that travel in one exchange
};

}  // namespace bitmill
