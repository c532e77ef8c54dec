#pragma once
// Which calibration samples a replica owns. Samples are taken in fixed order, `batch` at a time;
// the last batch may have fewer. Within a batch, each replica owns a range of positions.

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

class SampleShare {
 public:
  SampleShare(int64_t samples, int64_t batch, int replicas, int replica);

  int64_t samples() const { return samples_; }
  int64_t steps() const { return static_cast<int64_t>(first_own_.size()) - 1; }
  int64_t batch_size(int64_t step) const;
  // The sample at `position` of the batch of `step`, as an index into own(). REQUIRES: this replica
  // owns the position.
  int64_t own_index(int64_t step, int64_t position) const;
  // The samples of this replica, ascending, as indices into all samples.
  const std::vector<int64_t>& own() const { return own_; }
  int64_t own_count() const { return static_cast<int64_t>(own_.size()); }
  int replicas() const { return replicas_; }
  int replica() const { return replica_; }

  // Collective. `own_values` has `per_sample` values for each own sample. Returns the values of all
  // samples in sample order, [samples * per_sample], on every rank.
  std::vector<double> gather_in_order(Communicator& comm, std::span<const double> own_values,
                                      int64_t per_sample) const;

 private:
  int64_t samples_;
  int64_t batch_;
  int replicas_;
  int replica_;
  std::vector<int64_t> own_;
  std::vector<int64_t> first_own_;  // [steps + 1] number of own samples before a step
};

}  // namespace bitmill
