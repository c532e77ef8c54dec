#include "pipeline/sums/sharded_optimizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/pieces.hpp"
#include "format/dtype.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {

void round_to_bfloat(std::span<float> values, ThreadPool& pool) {
  parallel_pieces(pool, std::ssize(values), elements_per_task, [&](int64_t first, int64_t count) {
    for (float& value : values.subspan(static_cast<size_t>(first), static_cast<size_t>(count))) {
      value = bfloat_to_float(float_to_bfloat(value));
    }
  });
}

ShardedOptimizer::ShardedOptimizer(const LearnedLayout& layout, const RateCurve& rates,
                                   Communicator& comm, ThreadPool& pool)
    : comm_(comm),
      pool_(pool),
      rates_(rates),
      sum_(layout.size(), comm, pool),
      adamw_(layout, sum_.begin(), sum_.end()) {}

void ShardedOptimizer::step(int64_t batch_size, const SumUnit& unit, const at::Tensor& values) {
  apply(batch_size, sum_.reduce(batch_size, unit), values);
}

void ShardedOptimizer::step(int64_t batch_size, Partials own, const at::Tensor& values) {
  apply(batch_size, sum_.reduce(batch_size, std::move(own)), values);
}

// The loss of a step is the mean over the samples that its batch really has.
void ShardedOptimizer::apply(int64_t batch_size, const at::Tensor& sum, const at::Tensor& values) {
  const double factor = rate_factor(rates_.schedule, steps_, rates_.total_steps);
  adamw_.step(++steps_, factor, sum, batch_size, values.narrow(0, sum_.begin(), sum.numel()),
              pool_);
  sum_.gather(values);
}

at::Tensor ShardedOptimizer::own_moment(Moment moment, int64_t begin, int64_t end) const {
  const at::Tensor& all = moment == Moment::first ? adamw_.first_moment() : adamw_.second_moment();
  const int64_t from = std::clamp(begin, sum_.begin(), sum_.end());
  const int64_t to = std::clamp(end, sum_.begin(), sum_.end());
  return all.narrow(0, from - sum_.begin(), std::max<int64_t>(0, to - from));
}

at::Tensor ShardedOptimizer::collect(Moment moment, int64_t begin, int64_t end) const {
  const at::Tensor mine = own_moment(moment, begin, end);
  if (comm_.rank() != 0) {
    if (mine.numel() > 0) comm_.send(bytes_of(mine), 0);
    return at::empty({0});
  }
  if (mine.numel() == end - begin) return mine;
  at::Tensor all = at::empty({end - begin});
  all.narrow(0, 0, mine.numel()).copy_(mine);
  for (int rank = 1; rank < comm_.size(); ++rank) {
    const int64_t from = std::max(begin, sum_.begin(rank)), to = std::min(end, sum_.end(rank));
    if (from < to) comm_.receive(bytes_of(all.narrow(0, from - begin, to - from)), rank);
  }
  return all;
}

void ShardedOptimizer::hand_out(Moment moment, int64_t begin, int64_t end,
                                const at::Tensor& values) {
  at::Tensor mine = own_moment(moment, begin, end);
  if (comm_.rank() != 0) {
    if (mine.numel() > 0) comm_.receive(bytes_of(mine), 0);
    return;
  }
  mine.copy_(values.narrow(0, 0, mine.numel()));
  for (int rank = 1; rank < comm_.size(); ++rank) {
    const int64_t from = std::max(begin, sum_.begin(rank)), to = std::min(end, sum_.end(rank));
    if (from < to) comm_.send(bytes_of(values.narrow(0, from - begin, to - from)), rank);
  }
}

void ShardedOptimizer::round_moments(int64_t begin) {
  for (const Moment moment : {Moment::first, Moment::second}) {
    const std::span<float> values = floats_of(own_moment(moment, begin, sum_.size()));
    round_to_bfloat(values, pool_);
  }
}

}  // namespace bitmill
