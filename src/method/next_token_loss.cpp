#include "method/next_token_loss.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "method/tiled_loss.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {
namespace {

// The tokens that positions 0, 1, ... predict, on the host.
at::Tensor next_tokens(std::span<const int32_t> tokens) {
  const at::Tensor next = at::empty({std::ssize(tokens) - 1}, at::kLong);
  std::copy(tokens.begin() + 1, tokens.end(), next.data_ptr<int64_t>());
  return next;
}

}  // namespace

NextTokenLoss::NextTokenLoss(const SourceModel& model, const Device& device)
    : NextTokenLoss(model.config(), on_device(model.load_head(), device), device.host()) {}

NextTokenLoss::NextTokenLoss(const ModelConfig& config, HeadWeights head, ThreadPool& pool)
    : config_(config), head_(std::move(head)), pool_(pool) {}

// loss_t = -log q_t[next];  d loss_t / d logit_tv = q_tv - [v = next].
at::Tensor NextTokenLoss::of_tile(const at::Tensor& in, const at::Tensor& next,
                                  int64_t all_positions, at::Tensor* gradient) const {
  at::Tensor log_q = at::log_softmax(vocab_logits(head_, in, pool_), -1);
  const at::Tensor index = next.unsqueeze(1);
  const at::Tensor losses = log_q.gather(1, index).squeeze(1).neg();
  if (gradient != nullptr) {
    const at::Tensor of_logits = log_q.exp_();
    of_logits.scatter_add_(1, index, at::full_like(index, -1, of_logits.options()));
    of_logits.div_(static_cast<double>(all_positions));
    fill_head_gradient(of_logits, head_.head, *gradient);
  }
  return losses;
}

double NextTokenLoss::operator()(const at::Tensor& output, std::span<const int32_t> tokens,
                                 at::Tensor* gradient) const {
  const int64_t positions = std::ssize(tokens) - 1;  // the last token predicts nothing
  assert(positions >= 1 && positions < output.size(0) + 1);
  const at::Tensor next = next_tokens(tokens).to(output.device());
  const TiledLoss loss = {[&](const at::Tensor& all) {
                            return head_input(config_, head_, all.narrow(0, 0, positions), pool_);
                          },
                          [&](const at::Tensor& in, int64_t first, at::Tensor* of_in) {
                            return of_tile(in, next.narrow(0, first, in.size(0)), positions, of_in);
                          }};
  return mean_over_tiles(loss, output, pool_, gradient);
}

}  // namespace bitmill
