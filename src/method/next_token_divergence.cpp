#include "method/next_token_divergence.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>
#include <vector>

#include "base/pieces.hpp"
#include "model/block_forward.hpp"

namespace bitmill {

NextTokenDivergence::NextTokenDivergence(const SourceModel& student, const SourceModel& teacher,
                                         ThreadPool& pool)
    : student_config_(student.config()),
      teacher_config_(teacher.config()),
      student_(student.load_head()),
      teacher_(teacher.load_head(student_)),
      pool_(pool) {}

// KL_t = sum_v p_tv (log p_tv - log q_tv);  d KL_t / d logit_tv = q_tv - p_tv. Computed in place
// where possible: each of these tensors is [positions, vocabulary], and four of them live at once.
double NextTokenDivergence::sum_of_tile(const at::Tensor& student_in, const at::Tensor& teacher_in,
                                        int64_t positions, at::Tensor* gradient) const {
  const at::Tensor log_q = at::log_softmax(vocab_logits(student_, student_in, pool_), -1);
  const at::Tensor log_p = at::log_softmax(vocab_logits(teacher_, teacher_in, pool_), -1);
  const at::Tensor p = log_p.exp();
  const at::Tensor per_token = (log_p - log_q).mul_(p).sum(-1);
  if (gradient != nullptr) {
    const at::Tensor of_logits = log_q.exp_().sub_(p).div_(static_cast<double>(positions));
    at::mm_out(*gradient, of_logits, student_.head);
  }
  const float* values = per_token.const_data_ptr<float>();
  return std::accumulate(values, values + per_token.size(0), 0.0);
}

double NextTokenDivergence::operator()(const at::Tensor& student, const at::Tensor& teacher,
                                       at::Tensor* gradient) const {
  const at::AutoGradMode grad_mode(gradient != nullptr);
  const at::Tensor leaf = student.detach().requires_grad_(gradient != nullptr);
  const at::Tensor student_in = head_input(student_config_, student_, leaf, pool_);
  const at::Tensor teacher_in = head_input(teacher_config_, teacher_, teacher, pool_);
  const at::Tensor in_gradient = at::empty(student_in.sizes());
  const int64_t positions = student.size(0);
  std::vector<double> sums(static_cast<size_t>(piece_count(positions, tokens_per_tile)));
  parallel_pieces(pool_, positions, tokens_per_tile, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    at::Tensor part = in_gradient.narrow(0, first, count);
    sums[static_cast<size_t>(first / tokens_per_tile)] =
        sum_of_tile(student_in.narrow(0, first, count), teacher_in.narrow(0, first, count),
                    positions, gradient != nullptr ? &part : nullptr);
  });
  if (gradient != nullptr) {
    *gradient = torch::autograd::grad({student_in}, {leaf}, {in_gradient})[0];
  }
  return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(positions);
}

}  // namespace bitmill
