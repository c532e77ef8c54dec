#include "method/next_token_divergence.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "method/tiled_loss.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {

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
  const at::Tensor log_q = at::log_softmax(vocab_logits(heads_.student, student_in, pool_), -1);
  const at::Tensor log_p = at::log_softmax(vocab_logits(heads_.teacher, teacher_in, pool_), -1);
  const at::Tensor p = log_p.exp();
  const at::Tensor per_token = (log_p - log_q).mul_(p).sum(-1);
  if (gradient != nullptr) {
    const at::Tensor of_logits = log_q.exp_().sub_(p).div_(static_cast<double>(all_positions));
    fill_head_gradient(of_logits, heads_.student.head, *gradient);
  }
  return per_token;
}

double NextTokenDivergence::operator()(const at::Tensor& student, const at::Tensor& teacher,
                                       at::Tensor* gradient) const {
  const at::Tensor teacher_in = head_input(teacher_config_, heads_.teacher, teacher, pool_);
  const TiledLoss loss = {[&](const at::Tensor& all) {
                            return head_input(student_config_, heads_.student, all, pool_);
                          },
                          [&](const at::Tensor& in, int64_t first, at::Tensor* of_in) {
                            return of_tile(in, teacher_in.narrow(0, first, in.size(0)),
                                           student.size(0), of_in);
                          }};
  return mean_over_tiles(loss, student, pool_, gradient);
}

}  // namespace bitmill
