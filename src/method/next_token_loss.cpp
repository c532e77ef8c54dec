#include "method/next_token_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cassert>
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
double sum_by_tiles(const at::Tensor& losses) {
  const float* values = losses.const_data_ptr<float>();
  double sum = 0;
  for_pieces(losses.size(0), tokens_per_tile, [&](int64_t first, int64_t count) {
    sum += std::accumulate(values + first, values + first + count, 0.0);
  });
  return sum;
}

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
  const at::NoGradGuard no_grad;
  at::Tensor log_q = at::log_softmax(vocab_logits(head_, in, pool_), -1);
  const at::Tensor index = next.unsqueeze(1);
  const at::Tensor losses = log_q.gather(1, index).squeeze(1).neg();
  if (gradient != nullptr) {
    const at::Tensor of_logits = log_q.exp_();
    of_logits.scatter_add_(1, index, at::full_like(index, -1, of_logits.options()));
    of_logits.div_(static_cast<double>(all_positions));
    if (head_.head.is_cuda()) {
      product_into(*gradient, of_logits.to(head_.head.scalar_type()), head_.head);
    } else {
      host_product_into(*gradient, of_logits, head_.head);
    }
  }
  return losses;
}

double NextTokenLoss::operator()(const at::Tensor& output, std::span<const int32_t> tokens,
                                 at::Tensor* gradient) const {
  const int64_t positions = std::ssize(tokens) - 1;  // the last token predicts nothing
  assert(positions >= 1 && positions < output.size(0) + 1);
  const at::AutoGradMode grad_mode(gradient != nullptr);
  const at::Tensor leaf = output.detach().requires_grad_(gradient != nullptr);
  const at::Tensor in = head_input(config_, head_, leaf.narrow(0, 0, positions), pool_);
  const at::Tensor next = next_tokens(tokens).to(output.device());
  const at::Tensor in_gradient = at::empty(in.sizes(), in.options());
  const at::Tensor all = at::empty({positions}, output.options().dtype(at::kFloat));
  const auto tile = [&](int64_t first, int64_t count) {
    at::Tensor part = in_gradient.narrow(0, first, count);
    all.narrow(0, first, count)
        .copy_(of_tile(in.narrow(0, first, count), next.narrow(0, first, count), positions,
                       gradient != nullptr ? &part : nullptr));
  };
  if (output.is_cuda()) {
    for_pieces(positions, tokens_per_tile, tile);
  } else {
    parallel_pieces(pool_, positions, tokens_per_tile, tile);
  }
  if (gradient != nullptr) {
    *gradient = torch::autograd::grad({in}, {leaf}, {in_gradient})[0];
  }
  return sum_by_tiles(all.cpu()) / static_cast<double>(positions);
}

}  // namespace bitmill
