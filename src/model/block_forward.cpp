#include "model/block_forward.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "model/attention.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Calls part(first, count) for the pieces of [0, total) that `step` cuts, on any thread.
template <typename Part>
void for_pieces(ThreadPool& pool, int64_t total, int64_t step, const Part& part) {
  pool.parallel_for((total + step - 1) / step, [&](int64_t piece) {
    const at::NoGradGuard no_grad;
    part(piece * step, std::min(step, total - piece * step));
  });
}

// x weight^T and, backward, g weight: both in the same tiles of tokens.
struct DenseLinear : torch::autograd::Function<DenseLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t pool_address) {
    context->save_for_backward({weight});
    context->saved_data["pool"] = pool_address;
    return multiply(x, weight.t(), pool_at(pool_address));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor weight = context->get_saved_variables()[0];
    ThreadPool& pool = pool_at(context->saved_data["pool"].toInt());
    return {multiply(gradients[0].contiguous(), weight, pool), at::Tensor(), at::Tensor()};
  }

 private:
  // a [T, k], b [k, n] -> [T, n]
  static at::Tensor multiply(const at::Tensor& a, const at::Tensor& b, ThreadPool& pool) {
    const at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
    for_pieces(pool, a.size(0), tokens_per_tile, [&](int64_t first, int64_t count) {
      at::Tensor tile = out.narrow(0, first, count);
      at::mm_out(tile, a.narrow(0, first, count), b);
    });
    return out;
  }
  // An autograd context keeps integers and tensors only.
  static ThreadPool& pool_at(int64_t address) { return *reinterpret_cast<ThreadPool*>(address); }
};

// x [T, hidden]: x / sqrt(mean(x^2) + epsilon) * weight.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return x * at::rsqrt(at::mean(x * x, -1, /*keepdim=*/true) + epsilon) * weight;
}

// x [T, heads, head_dim] times the rotation of its position: halves (a, b) become
// (a cos - b sin, b cos + a sin).
at::Tensor rotate(const at::Tensor& x, const Rotary& rotary) {
  const int64_t half = x.size(2) / 2;
  const at::Tensor turned = at::cat({-x.narrow(2, half, half), x.narrow(2, 0, half)}, 2);
  return x * rotary.cosine.unsqueeze(1) + turned * rotary.sine.unsqueeze(1);
}

at::Tensor heads_of(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), heads, x.size(1) / heads});
}

}  // namespace

Rotary make_rotary(const ModelConfig& config, int64_t seq_len) {
  const int64_t half = config.head_dim / 2;
  Rotary rotary{at::empty({seq_len, config.head_dim}), at::empty({seq_len, config.head_dim})};
  float* cosine = rotary.cosine.data_ptr<float>();
  float* sine = rotary.sine.data_ptr<float>();
  for (int64_t i = 0; i < half; ++i) {
    // float32 steps, as everybody who trains with these tables takes them.
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    const float frequency = 1.0F / std::pow(static_cast<float>(config.rope_theta), exponent);
    for (int64_t t = 0; t < seq_len; ++t) {
      const float angle = static_cast<float>(t) * frequency;
      for (const int64_t column : {i, i + half}) {
        cosine[t * config.head_dim + column] = std::cos(angle);
        sine[t * config.head_dim + column] = std::sin(angle);
      }
    }
  }
  return rotary;
}

at::Tensor block_forward(const ModelConfig& config, const BlockNorms& norms, const Rotary& rotary,
                         const at::Tensor& x, const LinearFunction& linear, ThreadPool& pool) {
  const at::Tensor attention_input = rms_norm(x, norms.input, config.norm_epsilon);
  const at::Tensor query = heads_of(linear(LinearRole::query, attention_input), config.heads);
  const at::Tensor key = heads_of(linear(LinearRole::key, attention_input), config.kv_heads);
  const at::Tensor value = heads_of(linear(LinearRole::value, attention_input), config.kv_heads);
  const at::Tensor attended =
      causal_attention(rotate(query, rotary), rotate(key, rotary), value, pool);
  const at::Tensor middle = x + linear(LinearRole::attention_output, attended.flatten(1));

  const at::Tensor mlp_input = rms_norm(middle, norms.middle, config.norm_epsilon);
  const at::Tensor gate = linear(LinearRole::gate, mlp_input);
  const at::Tensor up = linear(LinearRole::up, mlp_input);
  return middle + linear(LinearRole::down, at::silu(gate) * up);
}

at::Tensor dense_linear(const at::Tensor& x, const at::Tensor& weight, ThreadPool& pool) {
  return DenseLinear::apply(x, weight, reinterpret_cast<int64_t>(&pool));
}

at::Tensor dense_block_forward(const ModelConfig& config, const BlockWeights& weights,
                               const Rotary& rotary, const at::Tensor& x, ThreadPool& pool,
                               const InputProbe& probe) {
  const at::NoGradGuard no_grad;
  return block_forward(
      config, {weights.input_norm, weights.middle_norm}, rotary, x,
      [&](LinearRole role, const at::Tensor& input) {
        if (probe) probe(role, input);
        return dense_linear(input, weights.linears[static_cast<size_t>(role)], pool);
      },
      pool);
}

at::Tensor head_logits(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                       ThreadPool& pool) {
  const at::NoGradGuard no_grad;
  const at::Tensor normalized = rms_norm(x, weights.norm, config.norm_epsilon);
  const int64_t vocab = weights.head.size(0);
  const at::Tensor out = at::empty({x.size(0), vocab}, x.options());
  for_pieces(pool, vocab, vocab_per_tile, [&](int64_t first, int64_t count) {
    at::Tensor tile = out.narrow(1, first, count);
    at::mm_out(tile, normalized, weights.head.narrow(0, first, count).t());
  });
  return out;
}

}  // namespace bitmill
