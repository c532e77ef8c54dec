#include "model/attention.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "model/device_attention.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [T, heads, head_dim] -> a view [1, 1, T, head_dim] of one head.
at::Tensor head_view(const at::Tensor& all, int64_t head) {
  return all.select(1, head).unsqueeze(0).unsqueeze(0);
}

// libtorch's flash attention, called once per head. libtorch's own threads are off, and the result
// of a head does not depend on other heads that are computed at the same time.
struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query,
                            const at::Tensor& key, const at::Tensor& value, int64_t pool_address) {
    const int64_t seq_len = query.size(0), heads = query.size(1);
    const int64_t group = heads / key.size(1);
    const at::Tensor out = at::empty(query.sizes(), query.options());             // [T, heads, d]
    const at::Tensor log_sums = at::empty({heads, 1, seq_len}, query.options());  // of each row
    pool_at(pool_address).parallel_for(heads, [&](int64_t head) {
      const at::NoGradGuard no_grad;
      auto [one, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(
          head_view(query, head), head_view(key, head / group), head_view(value, head / group),
          /*dropout_p=*/0.0, /*is_causal=*/true);
      head_view(out, head).copy_(one);
      log_sums[head].copy_(log_sum.view({1, seq_len}));
    });
    context->save_for_backward({query, key, value, out, log_sums});
    context->saved_data["pool"] = pool_address;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &query = saved[0], &key = saved[1], &value = saved[2], &out = saved[3];
    const int64_t heads = query.size(1), kv_heads = key.size(1), group = heads / kv_heads;
    const at::Tensor out_gradient = gradients[0].contiguous();
    const at::Tensor query_gradient = at::empty(query.sizes(), query.options());
    // First one gradient per query head; then those of the heads with the same key are added up.
    const at::Tensor key_gradient = at::empty(query.sizes(), query.options());
    const at::Tensor value_gradient = at::empty(query.sizes(), query.options());
    pool_at(context->saved_data["pool"].toInt()).parallel_for(heads, [&](int64_t head) {
      const at::NoGradGuard no_grad;
      auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          head_view(out_gradient, head), head_view(query, head), head_view(key, head / group),
          head_view(value, head / group), head_view(out, head), saved[4].narrow(0, head, 1),
          /*dropout_p=*/0.0, /*is_causal=*/true);
      head_view(query_gradient, head).copy_(dq);
      head_view(key_gradient, head).copy_(dk);
      head_view(value_gradient, head).copy_(dv);
    });
    const auto add_groups = [&](const at::Tensor& per_head) {
      return per_head.view({per_head.size(0), kv_heads, group, per_head.size(2)}).sum(2);
    };
    return {query_gradient, add_groups(key_gradient), add_groups(value_gradient), at::Tensor()};
  }

 private:
  // An autograd context keeps integers and tensors only.
  static ThreadPool& pool_at(int64_t address) { return *reinterpret_cast<ThreadPool*>(address); }
};

}  // namespace

at::Tensor causal_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            ThreadPool& pool) {
  if (query.is_cuda()) return device_attention(query, key, value);
  return CausalAttention::apply(query, key, value, reinterpret_cast<int64_t>(&pool));
}

}  // namespace bitmill
