#include "model/block_forward.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/pieces.hpp"
#include "device/host_product.hpp"
#include "device/product.hpp"
#include "model/attention.hpp"
#include "model/device_activation.hpp"
#include "model/family.hpp"
#include "model/norm.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Forward x weight^T, backward g weight, both in the same tiles of tokens; on a GPU as a
// whole.
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
    if (a.is_cuda()) return product(a, b);
    const at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
    parallel_pieces(pool, a.size(0), tokens_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard no_grad;
      host_product_into(out.narrow(0, first, count), a.narrow(0, first, count), b);
    });
    return out;
  }
  // An autograd context keeps integers and tensors only.
  static ThreadPool& pool_at(int64_t address) { return *reinterpret_cast<ThreadPool*>(address); }
};

at::Tensor heads_of(const at::Tensor& x, int64_t heads) {
  return x.view({x.size(0), heads, x.size(1) / heads});
}

class BlockForward {
 public:
  BlockForward(const ModelConfig& config, const BlockVectors& vectors, const Rotary& rotary,
               const LinearFunction& linear, const AttentionFunction& attention,
               ActivationFunction activation)
      : config_(config),
        vectors_(vectors),
        rotary_(rotary),
        linear_(linear),
        attention_(attention),
        activation_(activation) {}

  // x [T, hidden] -> [T, hidden]
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor middle =
        add_to(x, vectors_.input_norm, [&](const at::Tensor& in) { return attention(in); });
    return add_to(middle, vectors_.middle_norm, [&](const at::Tensor& in) { return mlp(in); });
  }

 private:
  template <class Piece>
  at::Tensor add_to(const at::Tensor& x, const Norm& norm, const Piece& piece) const {
    return config_.norm_first ? x + piece(normalized(x, norm)) : normalized(x + piece(x), norm);
  }

  at::Tensor attention(const at::Tensor& x) const {
    const TensorNames& names = config_.family->names;
    at::Tensor query = heads_of(project(LinearRole::query, x), config_.heads);
    at::Tensor key = heads_of(project(LinearRole::key, x), config_.kv_heads);
    const at::Tensor value = heads_of(project(LinearRole::value, x), config_.kv_heads);
    if (!names.query_norm.empty()) query = normalized(query, vectors_.query_norm);
    if (!names.key_norm.empty()) key = normalized(key, vectors_.key_norm);
    const at::Tensor attended = attention_(rotate(query, rotary_), rotate(key, rotary_), value);
    return project(LinearRole::attention_output, attended.flatten(1));
  }

  at::Tensor mlp(const at::Tensor& x) const {
    if (!config_.family->is_gated()) {
      return project(LinearRole::down, activation_(config_.activation, project(LinearRole::up, x)));
    }
    const at::Tensor gate = project(LinearRole::gate, x);
    const at::Tensor up = project(LinearRole::up, x);
    if (x.is_cuda()) {
      return project(LinearRole::down, device_activation(config_.activation, gate, up));
    }
    return project(LinearRole::down, activation_(config_.activation, gate) * up);
  }

  at::Tensor normalized(const at::Tensor& x, const Norm& norm) const {
    return normalize(config_.family->norm, norm, x, config_.norm_epsilon);
  }

  at::Tensor project(LinearRole role, const at::Tensor& x) const {
    const auto linear = static_cast<size_t>(config_.family->position(role));
    const at::Tensor product = linear_(linear, x);
    const at::Tensor& bias = vectors_.biases[linear];
    if (!bias.defined()) return product;
    // In place: added in float32, and rounded to the product's type in the same pass.
    return x.is_cuda() ? product.add_(bias) : product + bias;
  }

  const ModelConfig& config_;
  const BlockVectors& vectors_;
  const Rotary& rotary_;
  const LinearFunction& linear_;
  const AttentionFunction& attention_;
  const ActivationFunction activation_;
};

}  // namespace

at::Tensor activate(Activation activation, const at::Tensor& x) {
  if (x.is_cuda()) return device_activation(activation, x);
  switch (activation) {
    case Activation::silu:
      return at::silu(x);
    case Activation::relu:
      return at::relu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
  }
  return {};
}

at::Tensor activate_by_token(Activation activation, const at::Tensor& x) {
  // A multiple of what libtorch's vector code takes at once, on every processor.
  constexpr int64_t whole_vectors = 64;
  const int64_t width = x.size(1), missing = rounded_up(width, whole_vectors) - width;
  if (missing == 0) return activate(activation, x);
  return activate(activation, at::constant_pad_nd(x, {0, missing})).narrow(1, 0, width);
}

at::Tensor block_forward(const ModelConfig& config, const BlockVectors& vectors,
                         const Rotary& rotary, const at::Tensor& x, const LinearFunction& linear,
                         const AttentionFunction& attention, ActivationFunction activation) {
  return BlockForward(config, vectors, rotary, linear, attention, activation)(x);
}

at::Tensor block_forward(const ModelConfig& config, const BlockVectors& vectors,
                         const Rotary& rotary, const at::Tensor& x, const LinearFunction& linear,
                         ThreadPool& pool) {
  return block_forward(
      config, vectors, rotary, x, linear,
      [&](const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
        return causal_attention(query, key, value, pool);
      });
}

at::Tensor dense_linear(const at::Tensor& x, const at::Tensor& weight, ThreadPool& pool) {
  return DenseLinear::apply(x, weight, reinterpret_cast<int64_t>(&pool));
}

at::Tensor dense_block_forward(const ModelConfig& config, const BlockWeights& weights,
                               const Rotary& rotary, const at::Tensor& x, ThreadPool& pool,
                               const InputProbe& probe) {
  const at::NoGradGuard no_grad;
  return block_forward(
      config, weights.vectors, rotary, x,
      [&](size_t linear, const at::Tensor& input) {
        if (probe) probe(linear, input);
        return dense_linear(input, weights.linears[linear], pool);
      },
      pool);
}

at::Tensor head_input(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                      ThreadPool& pool) {
  const at::Tensor in =
      config.final_norm ? normalize(config.family->norm, weights.norm, x, config.norm_epsilon) : x;
  return weights.projection.defined() ? dense_linear(in, weights.projection, pool) : in;
}

at::Tensor vocab_logits(const HeadWeights& weights, const at::Tensor& in, ThreadPool& pool) {
  const at::NoGradGuard no_grad;
  if (in.is_cuda()) return product_in_float32(in, weights.head.t());
  const int64_t vocab = weights.head.size(0);
  const at::Tensor out = at::empty({in.size(0), vocab}, in.options());
  parallel_pieces(pool, vocab, vocab_per_tile, [&](int64_t first, int64_t count) {
    host_product_into(out.narrow(1, first, count), in, weights.head.narrow(0, first, count).t());
  });
  return out;
}

at::Tensor head_logits(const ModelConfig& config, const HeadWeights& weights, const at::Tensor& x,
                       ThreadPool& pool) {
  const at::NoGradGuard no_grad;
  return vocab_logits(weights, head_input(config, weights, x, pool), pool);
}

}  // namespace bitmill
