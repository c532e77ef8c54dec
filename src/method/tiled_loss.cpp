#include "method/tiled_loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>

#include "base/pieces.hpp"
#include "device/host_product.hpp"
#include "device/product.hpp"

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

}  // namespace

double mean_over_tiles(const TiledLoss& loss, const at::Tensor& output, ThreadPool& pool,
                       at::Tensor* gradient) {
  const at::AutoGradMode grad_mode(gradient != nullptr);
  const at::Tensor leaf = output.detach().requires_grad_(gradient != nullptr);
  const at::Tensor in = loss.head_input(leaf);
  const at::Tensor in_gradient = at::empty(in.sizes(), in.options());
  const int64_t positions = in.size(0);
  const at::Tensor all = at::empty({positions}, output.options().dtype(at::kFloat));
  const auto tile = [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    at::Tensor part = in_gradient.narrow(0, first, count);
    all.narrow(0, first, count)
        .copy_(
            loss.of_tile(in.narrow(0, first, count), first, gradient != nullptr ? &part : nullptr));
  };
  if (output.is_cuda()) {
    for_pieces(positions, tokens_per_tile, tile);
  } else {
    parallel_pieces(pool, positions, tokens_per_tile, tile);
  }
  if (gradient != nullptr) {
    *gradient = torch::autograd::grad({in}, {leaf}, {in_gradient})[0];
  }
  return sum_by_tiles(all.cpu()) / static_cast<double>(positions);
}

void fill_head_gradient(const at::Tensor& of_logits, const at::Tensor& head, at::Tensor& gradient) {
  if (head.is_cuda()) {
    product_into(gradient, of_logits.to(head.scalar_type()), head);
  } else {
    host_product_into(gradient, of_logits, head);
  }
}

}  // namespace bitmill
