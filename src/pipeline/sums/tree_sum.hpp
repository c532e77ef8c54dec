#pragma once
// Sums over the samples of a batch in the fixed tree of schedule/reduction_tree.hpp: this rank's
// part of the tree. Units and sums are flat tensors of one length and dtype.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/thread_pool.hpp"
#include "device/device.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

// The shape of a unit: [length], and where it lies.
struct FlatShape {
  int64_t length = 0;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
};

// Fills all elements of `values` with what the sample at a position of the batch adds. They may
// have any value before.
using SumUnit = std::function<void(int64_t position, const at::Tensor& values)>;
// into = into (+) from.
using Merge = std::function<void(const at::Tensor& into, const at::Tensor& from)>;

// Sums, each by its leftmost position. The tensors begin at 64-byte boundaries, because matrix
// products write their results directly into them.
using Partials = std::map<int64_t, at::Tensor>;

// The memory of sums, used again by later steps. To take a vector as large as a weight anew for
// every unit would cost a page fault, and 4 KiB of zeros, for every 4 KiB of it.
class SumMemory {
 public:
  // A tensor of that shape, with any values: one that nobody refers to any more, or a new one. One
  // thread at a time may call. REQUIRES: always the same dtype and device.
  at::Tensor take(const FlatShape& shape);

 private:
  std::vector<at::Tensor> all_;
};

// The sums of the units of this replica's own positions, added as soon as possible. The additions
// are the same ones whoever fills the units.
class GrowingSums {
 public:
  // For a batch of n samples. `memory`, if given, outlives it.
  GrowingSums(int64_t n, int replicas, int replica, const FlatShape& shape,
              SumMemory* memory = nullptr);

  // Makes room for the units of `positions`, not filled. The positions follow those of the last
  // call.
  void open(const PositionRange& positions);
  const at::Tensor& at(int64_t position) const { return partials_.at(position); }
  // To be called when all units before position `end` are filled: makes the additions that are now
  // possible.
  void merge_before(int64_t end, const Merge& merge);
  Partials take() { return std::move(partials_); }

 private:
  const FlatShape shape_;
  SumMemory own_memory_;
  SumMemory& memory_;
  const std::vector<TreeAddition> additions_;
  size_t next_ = 0;
  Partials partials_;
};

// Calls `unit` for every position that this replica owns, in the lanes of the device, and `merge`
// for every addition that this replica can make alone. At most lanes + log2(n) + 1 tensors of
// `shape` live at once. `between`, if given, is called on this thread each time that every lane has
// computed one unit. `memory`: as for GrowingSums.
Partials sum_own_positions(int64_t n, int replicas, int replica, const FlatShape& shape,
                           const Device& device, const SumUnit& unit, const Merge& merge,
                           const std::function<void()>& between = {}, SumMemory* memory = nullptr);

// The rest of the tree, over the partial sums of all replicas, in place. Returns the sum at
// position 0.
at::Tensor finish_tree(int64_t n, int replicas, const Partials& partials, const Merge& merge);

// into += from, with the elements spread over the threads of the pool; on a GPU, queued there.
void add_spread(const at::Tensor& into, const at::Tensor& from, ThreadPool& pool);

}  // namespace bitmill
