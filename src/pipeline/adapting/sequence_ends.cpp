#include "pipeline/adapting/sequence_ends.hpp"

#include <ATen/ATen.h>

namespace bitmill {

at::Tensor SequenceEnds::input(int64_t own) const {
  const at::Tensor embedded = model_.embed(ids(own));
  const at::Tensor padded = at::zeros({seq_len_, embedded.size(1)});
  padded.narrow(0, 0, embedded.size(0)).copy_(embedded);
  return device_.bring(padded);
}

double SequenceEnds::loss(int64_t own, const at::Tensor& output, at::Tensor* gradient) const {
  const TokenIds& tokens = ids(own);
  if (loss_.cross_entropy != nullptr) return (*loss_.cross_entropy)(output, tokens, gradient);
  const int64_t count = std::ssize(tokens);
  const at::Tensor target = device_.bring(targets_->load(first_target_ + own));
  const double value =
      (*loss_.divergence)(output.narrow(0, 0, count), target.narrow(0, 0, count), gradient);
  if (gradient != nullptr && count < seq_len_) {
    *gradient = at::constant_pad_nd(*gradient, {0, 0, 0, seq_len_ - count});
  }
  return value;
}

Draw SequenceEnds::draw(int64_t own) const {
  if (!dropout_seed_) return {};
  return draw_of(*dropout_seed_, sequence_of(own));
}

}  // namespace bitmill
