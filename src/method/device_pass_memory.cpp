#include "method/device_pass_memory.hpp"

#include <algorithm>
#include <initializer_list>

#include "base/pieces.hpp"
#include "kernels/add_table.hpp"
#include "kernels/columns.hpp"
#include "kernels/element.hpp"
#include "kernels/split_gradient.hpp"
#include "method/input_moments.hpp"
#include "model/device_attention.hpp"

namespace bitmill {
namespace {

constexpr int64_t pass_float_size = 4;

// What is held now, and the most so far. Every size is that of one tensor.
class Held {
 public:
  void take(std::initializer_list<int64_t> tensors) {
    for (const int64_t bytes : tensors) now_ += device_tensor_bytes(bytes);
    most_ = std::max(most_, now_);
  }
  void give(std::initializer_list<int64_t> tensors) {
    for (const int64_t bytes : tensors) now_ -= device_tensor_bytes(bytes);
  }
  // Held together for a moment.
  void touch(std::initializer_list<int64_t> tensors) {
    take(tensors);
    give(tensors);
  }
  int64_t most() const { return most_; }

 private:
  int64_t now_ = 0, most_ = 0;
};

// The passes of one sample through a block, as model/block_forward.cpp has them.
class BlockPasses {
 public:
  explicit BlockPasses(const BlockSizes& sizes) : sizes_(sizes) {}

 protected:
  const LinearSize& linear(LinearRole role) const { return sizes_.linear(role); }
  int64_t wide(int64_t columns) const { return sizes_.wide(columns); }
  int64_t out_of(LinearRole role) const { return wide(linear(role).rows); }
  int64_t stream() const { return sizes_.stream(); }
  bool is_gated() const { return sizes_.config().family->is_gated(); }
  bool has_head_norms() const { return !sizes_.config().family->names.query_norm.empty(); }
  bool is_layer_norm() const { return sizes_.config().family->norm == NormKind::layer; }

  // device_rotary.cpp: the result stays.
  void rotate(int64_t columns) {
    if (sizes_.rotates()) held_.take({wide(columns)});
  }
  // device_norm.cpp, over rows of `columns`: the result stays, and with `graph` what its backward
  // pass needs beside x.
  void norm(int64_t columns, int64_t rows_of_token, bool graph) {
    const int64_t factors = sizes_.tokens() * rows_of_token * pass_float_size;
    const int64_t result = wide(columns * rows_of_token);
    if (!is_layer_norm()) {
      held_.take({result, factors});
      if (!graph) held_.give({factors});
      return;
    }
    held_.take({factors, factors});
    if (sizes_.element() == pass_float_size) {
      held_.take({result});
    } else {
      const int64_t wider = sizes_.floats(columns * rows_of_token);
      held_.take({wider, wider, result});
      held_.give({wider});
      if (!graph) held_.give({wider});
    }
    if (!graph) held_.give({factors, factors});
  }
  void free_norm(int64_t columns, int64_t rows_of_token) {
    const int64_t factors = sizes_.tokens() * rows_of_token * pass_float_size;
    held_.give({factors});
    if (!is_layer_norm()) return;
    held_.give({factors});
    if (sizes_.element() != pass_float_size) held_.give({sizes_.floats(columns * rows_of_token)});
  }

  const BlockSizes& sizes_;
  Held held_;
};

// dense_block_forward(), with the statistics of the linears' inputs.
class DenseForward : BlockPasses {
 public:
  explicit DenseForward(const BlockSizes& sizes) : BlockPasses(sizes) {}

  int64_t most() {
    attention();
    mlp();
    return held_.most();
  }

 private:
  void project(LinearRole role) {
    const int64_t cols = linear(role).cols;
    held_.touch({wide(cols), cols * 8});  // saliency: |x|, and its sums in float64
    const auto width = MomentLayout::needed(sizes_.method());
    if (width == MomentLayout::Width::channels) {  // widened, squared, summed
      const bool widened = sizes_.element() != pass_float_size;
      held_.touch({widened ? sizes_.floats(cols) : 0, sizes_.floats(cols), cols * pass_float_size});
    }
    held_.take({out_of(role)});
  }

  void attention() {
    const ModelConfig& config = sizes_.config();
    const int64_t query = out_of(LinearRole::query), key = out_of(LinearRole::key);
    norm(config.hidden_size, 1, /*graph=*/false);
    for (const auto role : {LinearRole::query, LinearRole::key, LinearRole::value}) project(role);
    if (has_head_norms()) {
      norm(config.head_dim, config.heads, false);
      held_.give({query});
      norm(config.head_dim, config.kv_heads, false);
      held_.give({key});
    }
    rotate(linear(LinearRole::key).rows);
    rotate(linear(LinearRole::query).rows);
    held_.take({query});
    held_.touch({sizes_.attention()});
    if (sizes_.rotates()) held_.give({query, key});
    project(LinearRole::attention_output);
    held_.give({query, query, key, out_of(LinearRole::value)});
    held_.take({stream()});
    held_.give({stream(), stream()});  // the normed input, the projection
  }

  void mlp() {
    norm(sizes_.config().hidden_size, 1, false);
    if (is_gated()) project(LinearRole::gate);
    project(LinearRole::up);
    held_.take({out_of(LinearRole::up)});  // activated
    project(LinearRole::down);
    held_.give({out_of(LinearRole::up), out_of(LinearRole::up)});
    if (is_gated()) held_.give({out_of(LinearRole::gate)});
    held_.take({stream()});
  }
};

// StudentBlock::unit_gradient(): a tensor stays until the last backward pass that needs it.
class UnitGradient : BlockPasses {
 public:
  explicit UnitGradient(const BlockSizes& sizes) : BlockPasses(sizes) {}

  int64_t most() {
    const int64_t coefficients = sizes_.floats(4);
    attention_forward();
    mlp_forward();
    held_.take({coefficients, 4});
    held_.touch({sizes_.floats(8)});
    held_.take({stream()});  // the gradient of the output, for both summands
    held_.give({coefficients, stream()});
    mlp_backward();
    attention_backward();
    return held_.most();
  }

 private:
  bool code_scales() const { return sizes_.method().learned.code_scales; }
  int64_t token_floats() const { return sizes_.floats(1); }

  // backend/cuda_backend.cpp. What stays: the output, and what the backward pass needs beside x.
  void forward(LinearRole role) {
    const LinearSize& size = linear(role);
    const int64_t low = wide(size.low_stride), salient = wide(size.salient_stride);
    const int64_t out = out_of(role);
    held_.take({low, salient, token_floats()});
    held_.touch({sizes_.floats(kernels::column_tiles(size.cols))});
    held_.take({out, out});
    if (code_scales()) held_.take({out});
    held_.give({low, salient});
  }
  // The caller holds the gradient of the output. The gradient of x, if wanted, and those of what is
  // learned stay.
  void backward(LinearRole role, bool wants_x) {
    const LinearSize& size = linear(role);
    const int64_t out = out_of(role), low = wide(size.low_stride);
    const int64_t tiles = kernels::token_tiles(sizes_.tokens());
    const int64_t row_table = tiles * size.rows * pass_float_size;
    const int64_t row_tables = code_scales() ? 3 : 2;
    held_.take({out, token_floats()});
    if (wants_x) held_.take({out});
    for (int64_t i = 0; i < row_tables; ++i) held_.take({row_table});
    held_.touch({sizes_.floats(kernels::row_tiles(size.rows))});
    const LearnedParts& learned = sizes_.method().learned;
    held_.take({size.rows * pass_float_size, size.rows * pass_float_size});
    if (learned.row_means) held_.take({size.rows * pass_float_size});
    if (learned.code_scales) held_.take({size.rows * pass_float_size});
    const int64_t salient = wide(size.salient_stride),
                  gain_table = tiles * size.low * pass_float_size;
    held_.take({low, size.low * pass_float_size});
    if (wants_x) held_.take({salient, wide(size.cols)});
    held_.touch({gain_table});
    held_.give({low});
    if (wants_x) held_.give({salient});
    if (learned.signs) {
      const bool copied = size.low * pass_float_size % 16 != 0;  // rows at odd places
      held_.touch({low, copied ? size.rows * size.low_stride * pass_float_size : 0});
    }
    held_.give({out, token_floats()});
    if (wants_x) held_.give({out});
    for (int64_t i = 0; i < row_tables; ++i) held_.give({row_table});
    held_.give({out, token_floats()});  // of the forward pass
    if (code_scales()) held_.give({out});
  }

  void attention_forward() {
    const ModelConfig& config = sizes_.config();
    const int64_t query = out_of(LinearRole::query), key = out_of(LinearRole::key);
    norm(config.hidden_size, 1, /*graph=*/false);
    for (const auto role : {LinearRole::query, LinearRole::key, LinearRole::value}) forward(role);
    if (has_head_norms()) {
      norm(config.head_dim, config.heads, true);
      norm(config.head_dim, config.kv_heads, true);
    }
    rotate(linear(LinearRole::key).rows);
    rotate(linear(LinearRole::query).rows);
    held_.take({query});  // attended
    held_.touch({sizes_.attention()});
    forward(LinearRole::attention_output);
    // The projections before the rotation go; a norm in between keeps its inputs.
    if (sizes_.rotates()) held_.give({query, key});
    held_.take({stream()});
    held_.give({out_of(LinearRole::attention_output)});
  }

  void mlp_forward() {
    norm(sizes_.config().hidden_size, 1, true);
    if (is_gated()) forward(LinearRole::gate);
    forward(LinearRole::up);
    held_.take({out_of(LinearRole::up)});
    forward(LinearRole::down);
    held_.take({stream()});
    held_.give({out_of(LinearRole::down)});
  }

  void mlp_backward() {
    const int64_t inner = out_of(LinearRole::up);
    backward(LinearRole::down, true);
    held_.give({inner});  // activated
    held_.take({inner});
    if (is_gated()) held_.take({inner});
    held_.give({inner, inner});  // the gradient of what was activated; up
    if (is_gated()) held_.give({inner});
    backward(LinearRole::up, true);
    held_.give({inner});
    if (is_gated()) {
      backward(LinearRole::gate, true);
      held_.give({inner, stream()});
    }
    held_.give({stream()});  // the normed stream
    held_.take({stream()});
    held_.give({stream(), stream(), stream()});  // added to the other summand; the stream between
    free_norm(sizes_.config().hidden_size, 1);
  }

  void attention_backward() {
    const ModelConfig& config = sizes_.config();
    const int64_t query = out_of(LinearRole::query), key = out_of(LinearRole::key);
    backward(LinearRole::attention_output, true);
    held_.give({stream(), query});  // its gradient; attended
    held_.take({query, key, key});
    held_.touch({sizes_.attention()});
    held_.give({query, query, key, key});  // the gradient of attended; its operands
    for (const int64_t columns : {linear(LinearRole::key).rows, linear(LinearRole::query).rows}) {
      rotate(columns);
      if (sizes_.rotates()) held_.give({wide(columns)});
    }
    if (has_head_norms()) {
      held_.take({query});
      held_.give({query, query});
      free_norm(config.head_dim, config.heads);
      held_.take({key});
      held_.give({key, key});
      free_norm(config.head_dim, config.kv_heads);
    }
    backward(LinearRole::value, false);
    held_.give({key});
    backward(LinearRole::key, false);
    held_.give({key});
    backward(LinearRole::query, false);
  }
};

}  // namespace

int64_t device_tensor_bytes(int64_t bytes) {
  constexpr int64_t smallest_block = 512;
  return rounded_up(bytes, smallest_block);
}

BlockSizes::BlockSizes(const ModelConfig& config, std::span<const LinearShape> linears,
                       const MethodSettings& method, int64_t tokens, int64_t element)
    : config_(config), method_(method), tokens_(tokens), element_(element) {
  for (const LinearShape& shape : linears) {
    const int64_t salient = method.salient_ratio.salient_of(shape.cols);
    const int64_t low = shape.cols - salient;
    linears_.push_back({shape.rows, shape.cols, low, salient,
                        rounded_up(low, kernels::operand_step),
                        rounded_up(salient, kernels::operand_step)});
  }
}

int64_t BlockSizes::floats(int64_t columns) const { return tokens_ * columns * pass_float_size; }

int64_t BlockSizes::attention() const {
  return attention_scratch_bytes(
      {tokens_, config_.heads, config_.kv_heads, config_.head_dim, element_});
}

int64_t most_of_forward(const BlockSizes& sizes) { return DenseForward(sizes).most(); }

int64_t most_of_gradient(const BlockSizes& sizes) { return UnitGradient(sizes).most(); }

}  // namespace bitmill
