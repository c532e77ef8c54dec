#include "pipeline/sums/sharded_optimizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/pieces.hpp"
#include "format/dtype.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {

void round_to_bfloat(const at::Tensor& values, ThreadPool& pool) {
  if (values.is_cuda()) {
    values.copy_(values.to(at::kBFloat16));
    return;
  }
  const std::span<float> floats = floats_of(values);
  parallel_pieces(pool, std::ssize(floats), elements_per_task, [&](int64_t first, int64_t count) {
    for (float& value : floats.subspan(static_cast<size_t>(first), static_cast<size_t>(count))) {
      value = bfloat_to_float(float_to_bfloat(value));
    }
  });
}

double RateCurve::factor(int64_t step) const {
  if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(warmup_steps);
  return rate_factor(schedule, step - warmup_steps, total_steps - warmup_steps);
}

ShardedOptimizer::ShardedOptimizer(const LearnedLayout& layout, const RateCurve& rates,
                                   const Replicas& replicas, const Device& device)
    : comm_(replicas.words),
      device_(device),
      rates_(rates),
      sum_(layout.size(), replicas, device),
      adamw_(layout, sum_.begin(), sum_.end(), device.torch()) {}

void ShardedOptimizer::step(int64_t batch_size, const SumUnit& unit, const at::Tensor& values) {
  apply(batch_size, sum_.reduce(batch_size, unit), values);
}

void ShardedOptimizer::step(int64_t batch_size, Partials own, const at::Tensor& values) {
  apply(batch_size, sum_.reduce(batch_size, std::move(own)), values);
}

// The loss of a step is the mean over the samples that its batch really has.
void ShardedOptimizer::apply(int64_t batch_size, const at::Tensor& sum, const at::Tensor& values) {
  const double factor = rates_.factor(steps_);
  adamw_.step(++steps_, factor, sum, batch_size, values.narrow(0, sum_.begin(), sum.numel()),
              device_.host());
  sum_.gather(values);
}

at::Tensor ShardedOptimizer::own_moment(Moment moment, int64_t begin, int64_t end) const {
  const at::Tensor& all = moment == Moment::first ? adamw_.first_moment() : adamw_.second_moment();
  const int64_t from = std::clamp(begin, sum_.begin(), sum_.end());
  const int64_t to = std::clamp(end, sum_.begin(), sum_.end());
  return all.narrow(0, from - sum_.begin(), std::max<int64_t>(0, to - from));
}

at::Tensor ShardedOptimizer::collect(Moment moment, int64_t begin, int64_t end) const {
  const at::Tensor mine = device_.fetch(own_moment(moment, begin, end));
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
    if (mine.numel() == 0) return;
    const at::Tensor received = at::empty(mine.sizes());
    comm_.receive(bytes_of(received), 0);
    mine.copy_(received);
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
    round_to_bfloat(own_moment(moment, begin, sum_.size()), device_.host());
  }
}

}  // namespace bitmill
