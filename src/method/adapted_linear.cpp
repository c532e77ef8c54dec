#include "method/adapted_linear.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/pieces.hpp"
#include "base/random.hpp"
#include "device/host_product.hpp"
#include "device/product.hpp"
#include "model/block_forward.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// x [T, k] weight [n, k] -> x weight^T [T, n], differentiable in both. Cut into tiles of tokens;
// the gradient of the weight into pieces of its longer side. On a GPU as a whole.
struct TrainedProduct : torch::autograd::Function<TrainedProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t pool_address) {
    context->save_for_backward({x, weight});
    context->saved_data["pool"] = pool_address;
    return multiply(x, weight.to(x.scalar_type()).t(), pool_at(pool_address));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::NoGradGuard no_grad;
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    ThreadPool& pool = pool_at(context->saved_data["pool"].toInt());
    const at::Tensor gradient = gradients[0].contiguous();
    at::Tensor of_x;
    if (context->needs_input_grad(0)) of_x = multiply(gradient, weight.to(x.scalar_type()), pool);
    return {of_x, weight_gradient(gradient, x, pool), at::Tensor()};
  }

 private:
  // a [T, k], b [k, n] -> [T, n]
  static at::Tensor multiply(const at::Tensor& a, const at::Tensor& b, ThreadPool& pool) {
    if (a.is_cuda()) return product(a, b);
    const at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
    parallel_pieces(pool, a.size(0), tokens_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard no_grad;
      host_product_into(out.narrow(0, first, count), a.narrow(0, first, count), b);
    });
    return out;
  }

  // gradient [T, n], x [T, k] -> [n, k] float32
  static at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x,
                                    ThreadPool& pool) {
    if (x.is_cuda()) return product_in_float32(gradient.t(), x);
    const int64_t rows = gradient.size(1), cols = x.size(1);
    const at::Tensor out = at::empty({rows, cols}, x.options());
    const bool by_rows = rows >= cols;
    parallel_pieces(pool, std::max(rows, cols), entries_per_piece,
                    [&](int64_t first, int64_t count) {
                      const at::NoGradGuard no_grad;
                      const at::Tensor a = by_rows ? gradient.narrow(1, first, count) : gradient;
                      const at::Tensor b = by_rows ? x : x.narrow(1, first, count);
                      host_product_into(out.narrow(by_rows ? 0 : 1, first, count), a.t(), b);
                    });
    return out;
  }

  // Every piece reads one of the two operands as a whole: long pieces keep that small.
  static constexpr int64_t entries_per_piece = 1024;

  // An autograd context keeps integers and tensors only.
  static ThreadPool& pool_at(int64_t address) { return *reinterpret_cast<ThreadPool*>(address); }
};

at::Tensor trained_product(const at::Tensor& x, const at::Tensor& weight, ThreadPool& pool) {
  return TrainedProduct::apply(x, weight, reinterpret_cast<int64_t>(&pool));
}

constexpr int numbers_per_draw = 4;  // of random_bits()

}  // namespace

uint64_t draw_of(uint64_t seed, int64_t sequence) {
  const auto bits = random_bits(seed, RandomPurpose::dropout_key, static_cast<uint64_t>(sequence));
  return (uint64_t{bits[0]} << 32) | bits[1];
}

at::Tensor dropout_mask(uint64_t draw, uint32_t linear, double p, int64_t tokens, int64_t cols,
                        ThreadPool& pool) {
  const int64_t size = tokens * cols;
  const at::Tensor mask = at::empty({tokens, cols});
  float* const values = mask.data_ptr<float>();
  const auto limit = static_cast<uint64_t>(p * 0x1p32);
  static_assert(elements_per_task % numbers_per_draw == 0);
  parallel_pieces(pool, size, elements_per_task, [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i += numbers_per_draw) {
      const auto index = (uint64_t{linear} << 40) | static_cast<uint64_t>(i / numbers_per_draw);
      const auto bits = random_bits(draw, RandomPurpose::dropout, index);
      const int64_t end = std::min<int64_t>(numbers_per_draw, first + count - i);
      for (int64_t k = 0; k < end; ++k) {
        values[i + k] = bits[static_cast<size_t>(k)] < limit ? 0.0F : 1.0F;
      }
    }
  });
  return mask;
}

at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a,
                          const at::Tensor& b, const Adapter& adapter, const Draw& draw,
                          ThreadPool& pool) {
  const at::Tensor base = dense_linear(x, weight, pool);
  const bool drops = draw && adapter.dropout > 0;
  at::Tensor in = x;
  if (drops) {
    at::Tensor mask =
        dropout_mask(*draw, adapter.linear, adapter.dropout, x.size(0), x.size(1), pool);
    in = x * mask.to(x.options());
  }
  const at::Tensor added = trained_product(trained_product(in, a, pool), b, pool);
  return at::add(base, added, drops ? adapter.scale / (1 - adapter.dropout) : adapter.scale);
}

}  // namespace bitmill
