#include "method/next_token_divergence.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>
#include <utility>

#include "base/pieces.hpp"
#include "device/host_product.hpp"
#include "device/product.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {
namespace {

// First within each tile, then over the tiles.
double sum_over_tiles(const at::Tensor& divergences) {
  const float* values = divergences.const_data_ptr<float>();
  double sum = 0;
  for_pieces(divergences.size(0), tokens_per_tile, [&](int64_t first, int64_t count) {
    sum += std::accumulate(values + first, values + first + count, 0.0);
  });
  return sum;
}

}  // namespace

NextTokenDivergence::NextTokenDivergence(const ModelConfig& student, const ModelConfig& teacher,
                                         Heads heads, ThreadPool& pool)
    : student_config_(student), teacher_config_(teacher), heads_(std::move(heads)), pool_(pool) {}

NextTokenDivergence::NextTokenDivergence(const SourceModel& student, const SourceModel& teacher,
                                         ThreadPool& pool)
    : NextTokenDivergence(student.config(), teacher.config(), load_heads(student, teacher), pool) {}

NextTokenDivergence::NextTokenDivergence(const SourceModel& student, const SourceModel& teacher,
                                         const Device& device)
    : NextTokenDivergence(student.config(), teacher.config(),
                          bring(load_heads(student, teacher), device), device.host()) {}

NextTokenDivergence::Heads NextTokenDivergence::load_heads(const SourceModel& student,
                                                           const SourceModel& teacher) {
  Heads heads;
  heads.student = student.load_head();
  heads.teacher = teacher.load_head(heads.student);
  return heads;
}

// What both have in common is brought once.
NextTokenDivergence::Heads NextTokenDivergence::bring(const Heads& heads, const Device& device) {
  const bool shared = heads.teacher.head.const_data_ptr() == heads.student.head.const_data_ptr();
  HeadWeights teacher = heads.teacher;
  if (shared) teacher.head = at::Tensor();
  Heads there = {on_device(heads.student, device), on_device(teacher, device)};
  if (shared) there.teacher.head = there.student.head;
  return there;
}

// KL_t = sum_v p_tv (log p_tv - log q_tv);  d KL_t / d logit_tv = q_tv - p_tv. Computed in place
// where possible: each of these tensors is [positions, vocabulary], and four of them live at once.
at::Tensor NextTokenDivergence::of_tile(const at::Tensor& student_in, const at::Tensor& teacher_in,
                                        int64_t all_positions, at::Tensor* gradient) const {
  const at::NoGradGuard no_grad;
  const at::Tensor log_q = at::log_softmax(vocab_logits(heads_.student, student_in, pool_), -1);
  const at::Tensor log_p = at::log_softmax(vocab_logits(heads_.teacher, teacher_in, pool_), -1);
  const at::Tensor p = log_p.exp();
  const at::Tensor per_token = (log_p - log_q).mul_(p).sum(-1);
  if (gradient != nullptr) {
    const at::Tensor of_logits = log_q.exp_().sub_(p).div_(static_cast<double>(all_positions));
    const at::Tensor& head = heads_.student.head;
    if (head.is_cuda()) {
      product_into(*gradient, of_logits.to(head.scalar_type()), head);
    } else {
      host_product_into(*gradient, of_logits, head);
    }
  }
  return per_token;
}

double NextTokenDivergence::operator()(const at::Tensor& student, const at::Tensor& teacher,
                                       at::Tensor* gradient) const {
  const at::AutoGradMode grad_mode(gradient != nullptr);
  const at::Tensor leaf = student.detach().requires_grad_(gradient != nullptr);
  const at::Tensor student_in = head_input(student_config_, heads_.student, leaf, pool_);
  const at::Tensor teacher_in = head_input(teacher_config_, heads_.teacher, teacher, pool_);
  const at::Tensor in_gradient = at::empty(student_in.sizes(), student_in.options());
  const int64_t positions = student.size(0);
  const at::Tensor all = at::empty({positions}, student.options().dtype(at::kFloat));
  const auto tile = [&](int64_t first, int64_t count) {
    at::Tensor part = in_gradient.narrow(0, first, count);
    all.narrow(0, first, count)
        .copy_(of_tile(student_in.narrow(0, first, count), teacher_in.narrow(0, first, count),
                       positions, gradient != nullptr ? &part : nullptr));
  };
  if (student.is_cuda()) {
    for_pieces(positions, tokens_per_tile, tile);
  } else {
    parallel_pieces(pool_, positions, tokens_per_tile, tile);
  }
  if (gradient != nullptr) {
    *gradient = torch::autograd::grad({student_in}, {leaf}, {in_gradient})[0];
  }
  return sum_over_tiles(all.cpu()) / static_cast<double>(positions);
}

}  // namespace bitmill
