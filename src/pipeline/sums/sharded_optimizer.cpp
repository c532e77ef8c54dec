#include "pipeline/sums/sharded_optimizer.hpp"

#include <algorithm>

#include "format/dtype.hpp"

namespace bitmill {

ShardedOptimizer::ShardedOptimizer(const LearnedLayout& layout, const RateCurve& rates,
                                   Communicator& comm, ThreadPool& pool)
    : comm_(comm),
      pool_(pool),
      rates_(rates),
      sum_(layout.size(), comm, pool),
      adamw_(layout, sum_.begin(), sum_.end()) {}

void ShardedOptimizer::step(int64_t batch_size, const Unit& unit, std::span<float> values) {
  apply(batch_size, sum_.reduce(batch_size, unit), values);
}

void ShardedOptimizer::step(int64_t batch_size, Partials<float> own, std::span<float> values) {
  apply(batch_size, sum_.reduce(batch_size, std::move(own)), values);
}

void ShardedOptimizer::apply(int64_t batch_size, AlignedVector<float> gradient,
                             std::span<float> values) {
  // The loss of a step is the mean over its own samples.
  const auto divisor = static_cast<float>(batch_size);
  for (float& element : gradient) element /= divisor;
  const double factor = rate_factor(rates_.schedule, steps_, rates_.total_steps);
  adamw_.step(++steps_, factor, gradient,
              values.subspan(static_cast<size_t>(sum_.begin()), gradient.size()), pool_);
  sum_.gather(values);
}

std::span<float> ShardedOptimizer::own_moment(Moment moment, int64_t begin, int64_t end) {
  std::vector<float>& all =
      moment == Moment::first ? adamw_.first_moment() : adamw_.second_moment();
  const int64_t from = std::clamp(begin, sum_.begin(), sum_.end());
  const int64_t to = std::clamp(end, sum_.begin(), sum_.end());
  return std::span(all).subspan(static_cast<size_t>(from - sum_.begin()),
                                static_cast<size_t>(std::max<int64_t>(0, to - from)));
}

std::vector<float> ShardedOptimizer::collect(Moment moment, int64_t begin, int64_t end) {
  const std::span<float> mine = own_moment(moment, begin, end);
  if (comm_.rank() != 0) {
    if (!mine.empty()) comm_.send(std::as_bytes(mine), 0);
    return {};
  }
  std::vector<float> all(mine.begin(), mine.end());
  all.reserve(static_cast<size_t>(end - begin));
  for (int rank = 1; rank < comm_.size(); ++rank) {
    const int64_t from = std::max(begin, sum_.begin(rank)), to = std::min(end, sum_.end(rank));
    if (from >= to) continue;
    all.resize(all.size() + static_cast<size_t>(to - from));
    comm_.receive(std::as_writable_bytes(std::span(all).last(static_cast<size_t>(to - from))),
                  rank);
  }
  return all;
}

void ShardedOptimizer::hand_out(Moment moment, int64_t begin, int64_t end,
                                std::span<const float> values) {
  const std::span<float> mine = own_moment(moment, begin, end);
  if (comm_.rank() != 0) {
    if (!mine.empty()) comm_.receive(std::as_writable_bytes(mine), 0);
    return;
  }
  std::copy_n(values.begin(), mine.size(), mine.begin());
  for (int rank = 1; rank < comm_.size(); ++rank) {
    const int64_t from = std::max(begin, sum_.begin(rank)), to = std::min(end, sum_.end(rank));
    if (from >= to) continue;
    comm_.send(std::as_bytes(values.subspan(static_cast<size_t>(from - begin),
                                            static_cast<size_t>(to - from))),
               rank);
  }
}

void ShardedOptimizer::round_moments(int64_t begin) {
  for (const Moment moment : {Moment::first, Moment::second}) {
    for (float& value : own_moment(moment, begin, sum_.size())) {
      value = bfloat_to_float(float_to_bfloat(value));
    }
  }
}

}  // namespace bitmill
