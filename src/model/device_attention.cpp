#include "model/device_attention.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/pieces.hpp"
#include "device/product.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Some positions of the query heads that read one key head.
struct AttentionTile {
  int64_t key_head, group;  // its query heads: key_head * group and those that follow
  int64_t first, count;     // positions

  int64_t rows() const { return count * group; }
  int64_t keys() const { return first + count; }
  // all [T, heads, d] -> a view [count, group, d]
  at::Tensor part_of(const at::Tensor& all) const {
    return all.narrow(0, first, count).narrow(1, key_head * group, group);
  }
  // all [T, heads, d] -> [rows, d], position by position
  at::Tensor rows_of(const at::Tensor& all) const {
    return part_of(all).reshape({rows(), all.size(2)});
  }
  // all [T, kv_heads, d] -> a view [keys, d]
  at::Tensor keys_of(const at::Tensor& all) const {
    return all.select(1, key_head).narrow(0, 0, keys());
  }
};

template <class Work>
void for_attention_tiles(int64_t seq_len, int64_t key_head, int64_t group, const Work& work) {
  for_pieces(seq_len, attention_tile_positions(seq_len, group), [&](int64_t first, int64_t count) {
    work(AttentionTile{key_head, group, first, count});
  });
}

double scale_of(const at::Tensor& heads) {
  return 1 / std::sqrt(static_cast<double>(heads.size(2)));
}

// [n, n]: whether the key's position is later than the query's, both counted from a tile's first
// position; n is that of the largest tile.
at::Tensor later_positions(const at::Tensor& query, int64_t group) {
  const int64_t positions = attention_tile_positions(query.size(0), group);
  return at::ones({positions, positions}, query.options().dtype(at::kBool)).triu_(1);
}

// P [rows, keys] float32.
at::Tensor tile_probabilities(const AttentionTile& tile, const at::Tensor& query_rows,
                              const at::Tensor& key, const at::Tensor& later) {
  const at::Tensor scores = product_in_float32(query_rows, tile.keys_of(key).t());
  scores.mul_(scale_of(key));
  const at::Tensor mask = later.narrow(0, 0, tile.count).narrow(1, 0, tile.count);
  scores.view({tile.count, tile.group, tile.keys()})
      .narrow(2, tile.first, tile.count)
      .masked_fill_(mask.unsqueeze(1), -std::numeric_limits<double>::infinity());
  return at::softmax(scores, -1);
}

// dS [rows, keys] in the element type.
at::Tensor score_gradient(const AttentionTile& tile, const at::Tensor& out_gradient_rows,
                          const at::Tensor& value, at::Tensor probabilities) {
  at::Tensor of_probabilities = product_in_float32(out_gradient_rows, tile.keys_of(value).t());
  const at::Tensor of_scores =
      at::_softmax_backward_data(of_probabilities, probabilities, -1, at::kFloat);
  of_probabilities.reset();  // `to` below makes another matrix
  probabilities.reset();
  return of_scores.to(value.scalar_type());
}

struct DeviceAttention : torch::autograd::Function<DeviceAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query,
                            const at::Tensor& key, const at::Tensor& value) {
    const int64_t kv_heads = key.size(1), group = query.size(1) / kv_heads;
    const at::Tensor out = at::empty(query.sizes(), query.options());
    const at::Tensor later = later_positions(query, group);
    for (int64_t head = 0; head < kv_heads; ++head) {
      for_attention_tiles(query.size(0), head, group, [&](const AttentionTile& tile) {
        const at::Tensor part = tile.part_of(out);
        const at::Tensor operand =
            tile_probabilities(tile, tile.rows_of(query), key, later).to(value.scalar_type());
        part.copy_(product(operand, tile.keys_of(value)).view(part.sizes()));
      });
    }
    context->save_for_backward({query, key, value});
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &query = saved[0], &key = saved[1], &value = saved[2];
    const int64_t kv_heads = key.size(1);
    const variable_list results = {at::empty(query.sizes(), query.options()),
                                   at::empty(key.sizes(), key.options()),
                                   at::empty(value.sizes(), value.options())};
    const at::Tensor later = later_positions(query, query.size(1) / kv_heads);
    for (int64_t head = 0; head < kv_heads; ++head) {
      key_head_backward(head, saved, gradients[0], later, results);
    }
    return results;
  }

 private:
  static void key_head_backward(int64_t head, const variable_list& saved,
                                const at::Tensor& out_gradient, const at::Tensor& later,
                                const variable_list& results) {
    const at::Tensor &query = saved[0], &key = saved[1], &value = saved[2];
    const int64_t seq_len = query.size(0), group = query.size(1) / key.size(1);
    const at::Tensor of_key =
        at::zeros({seq_len, key.size(2)}, key.options().dtype(at::kFloat));  // [T, d], as of_value
    const at::Tensor of_value = at::zeros_like(of_key);
    for_attention_tiles(seq_len, head, group, [&](const AttentionTile& tile) {
      const at::Tensor query_rows = tile.rows_of(query);
      const at::Tensor gradient_rows = tile.rows_of(out_gradient);
      at::Tensor probabilities = tile_probabilities(tile, query_rows, key, later);
      product_into(of_value.narrow(0, 0, tile.keys()), probabilities.to(value.scalar_type()).t(),
                   gradient_rows, /*accumulate=*/true);
      const at::Tensor of_scores =
          score_gradient(tile, gradient_rows, value, std::move(probabilities));
      product_into(of_key.narrow(0, 0, tile.keys()), of_scores.t(), query_rows,
                   /*accumulate=*/true);
      const at::Tensor part = tile.part_of(results[0]);
      part.copy_(
          product_in_float32(of_scores, tile.keys_of(key)).mul_(scale_of(key)).view(part.sizes()));
    });
    results[1].select(1, head).copy_(of_key.mul_(scale_of(key)));
    results[2].select(1, head).copy_(of_value);
  }
};

}  // namespace

int64_t attention_tile_positions(int64_t seq_len, int64_t group) {
  constexpr int64_t step = 16;  // so that rows of scores begin at a multiple of 16 bytes
  const int64_t wished = std::max<int64_t>(attention_tile_rows / group, 1);
  return std::min(wished < step ? wished : wished / step * step, seq_len);
}

int64_t attention_scratch_bytes(const AttentionShape& shape) {
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t positions = attention_tile_positions(shape.seq_len, group);
  const int64_t rows = positions * group;
  return 12 * rows * shape.seq_len + (4 + 2 * shape.element_bytes) * rows * shape.head_dim +
         8 * shape.seq_len * shape.head_dim + positions * positions;
}

at::Tensor device_attention(const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value) {
  return DeviceAttention::apply(query, key, value);
}

}  // namespace bitmill
