#include "pipeline/tuning/walk_ends.hpp"

namespace bitmill {

at::Tensor DivergenceEnds::input(int64_t own) const {
  return device_.bring(inputs_->load(first_ + own));
}

double DivergenceEnds::loss(int64_t own, const at::Tensor& output, at::Tensor* gradient) const {
  return (*divergence_)(output, device_.bring(targets_->load(first_ + own)), gradient);
}

}  // namespace bitmill
