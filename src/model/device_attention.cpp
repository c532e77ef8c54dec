#include "model/device_attention.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "base/pieces.hpp"
#include "device/product.hpp"
#include "device/queue.hpp"
#include "kernels/causal_softmax.hpp"

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

// Room of a row of scores: as many float32 as make each row begin at a multiple of 16 bytes.
int64_t score_row_floats(int64_t keys) { return (keys + 3) / 4 * 4; }

template <class Work>
void for_attention_tiles(int64_t seq_len, int64_t key_head, int64_t group, const Work& work) {
  for_pieces(seq_len, attention_tile_positions(seq_len, group), [&](int64_t first, int64_t count) {
    work(AttentionTile{key_head, group, first, count});
  });
}

float scale_of(const at::Tensor& heads) {
  return static_cast<float>(1 / std::sqrt(static_cast<double>(heads.size(2))));
}

// Scores of a tile, or their gradient: float32 from a product first, then elements in their place.
class TileScores {
 public:
  // rows [rows, d] times the tile's part of `all` [T, kv_heads, d], transposed.
  TileScores(const AttentionTile& tile, const at::Tensor& rows, const at::Tensor& all)
      : room_(at::empty({tile.rows(), score_row_floats(tile.keys())},
                        all.options().dtype(at::kFloat))),
        keys_(tile.keys()) {
    product_into(room_.narrow(1, 0, keys_), rows, tile.keys_of(all).t());
  }

  float* data() const { return room_.data_ptr<float>(); }
  kernels::ScoreRows shape(const AttentionTile& tile) const {
    return {tile.rows(), keys_, room_.size(1), tile.group, tile.first};
  }
  // [rows, keys] after a kernel has been there.
  at::Tensor elements(at::ScalarType element) const {
    return room_.view(element).narrow(1, 0, keys_);
  }

 private:
  at::Tensor room_;  // [rows, row_floats] float32
  int64_t keys_;
};

// P [rows, keys] in the element type.
at::Tensor tile_probabilities(const AttentionTile& tile, const at::Tensor& query,
                              const at::Tensor& key) {
  const TileScores scores(tile, tile.rows_of(query), key);
  const kernels::CausalSoftmax task{scores.data(), scores.shape(tile), scale_of(key),
                                    element_of(key)};
  check_cuda(kernels::causal_softmax(task, stream_of(key)), "causal_softmax");
  return scores.elements(key.scalar_type());
}

// P and dS, [rows, keys] in the element type.
struct ScoreGradient {
  at::Tensor probabilities, of_scores;
};
ScoreGradient score_gradient(const AttentionTile& tile, const at::Tensor& query_rows,
                             const at::Tensor& gradient_rows, const at::Tensor& key,
                             const at::Tensor& value) {
  const TileScores scores(tile, query_rows, key), gradient(tile, gradient_rows, value);
  const kernels::CausalSoftmaxGradient task{scores.data(), gradient.data(), scores.shape(tile),
                                            scale_of(key), element_of(key)};
  check_cuda(kernels::causal_softmax_gradient(task, stream_of(key)), "causal_softmax_gradient");
  return {scores.elements(key.scalar_type()), gradient.elements(key.scalar_type())};
}

struct DeviceAttention : torch::autograd::Function<DeviceAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query,
                            const at::Tensor& key, const at::Tensor& value) {
    const int64_t kv_heads = key.size(1), group = query.size(1) / kv_heads;
    const at::Tensor out = at::empty(query.sizes(), query.options());
    for (int64_t head = 0; head < kv_heads; ++head) {
      for_attention_tiles(query.size(0), head, group, [&](const AttentionTile& tile) {
        const at::Tensor part = tile.part_of(out);
        part.copy_(
            product(tile_probabilities(tile, query, key), tile.keys_of(value)).view(part.sizes()));
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
    for (int64_t head = 0; head < kv_heads; ++head) {
      key_head_backward(head, saved, gradients[0], results);
    }
    return results;
  }

 private:
  static void key_head_backward(int64_t head, const variable_list& saved,
                                const at::Tensor& out_gradient, const variable_list& results) {
    const at::Tensor &query = saved[0], &key = saved[1], &value = saved[2];
    const int64_t seq_len = query.size(0), group = query.size(1) / key.size(1);
    const at::Tensor of_key =
        at::zeros({seq_len, key.size(2)}, key.options().dtype(at::kFloat));  // [T, d], as of_value
    const at::Tensor of_value = at::zeros_like(of_key);
    for_attention_tiles(seq_len, head, group, [&](const AttentionTile& tile) {
      const at::Tensor query_rows = tile.rows_of(query);
      const at::Tensor gradient_rows = tile.rows_of(out_gradient);
      const ScoreGradient made = score_gradient(tile, query_rows, gradient_rows, key, value);
      product_into(of_value.narrow(0, 0, tile.keys()), made.probabilities.t(), gradient_rows,
                   /*accumulate=*/true);
      product_into(of_key.narrow(0, 0, tile.keys()), made.of_scores.t(), query_rows,
                   /*accumulate=*/true);
      const at::Tensor part = tile.part_of(results[0]);
      part.copy_(product(made.of_scores, tile.keys_of(key)).view(part.sizes()));
    });
    results[1].select(1, head).copy_(of_key);
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
  const int64_t rows = attention_tile_positions(shape.seq_len, group) * group;
  return 8 * rows * score_row_floats(shape.seq_len) +
         3 * shape.element_bytes * rows * shape.head_dim + 8 * shape.seq_len * shape.head_dim;
}

at::Tensor device_attention(const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value) {
  return DeviceAttention::apply(query, key, value);
}

}  // namespace bitmill
