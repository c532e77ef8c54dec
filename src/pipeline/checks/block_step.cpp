#include "pipeline/checks/block_step.hpp"

#include "base/pieces.hpp"
#include "method/grid.hpp"
#include "model/device_attention.hpp"

namespace bitmill {
namespace {

// Bytes of float32, and of a row of a table of sums: kernels make one for so many tokens, columns
// or rows (kernels/add_table.hpp, columns.hpp, split_gradient.hpp).
constexpr int64_t wide = 4;
constexpr int64_t tokens_of_sum = 64, columns_of_sum = 1024, rows_of_sum = 512;

// Scores of the tiles of a block's attention, all heads together (model/device_attention.hpp).
struct ScoreCount {
  int64_t scores = 0;  // that are written and read
  int64_t seen = 0;    // those that the kernels read
  int64_t rows = 0;    // of all tiles
  int64_t keys = 0;    // of all tiles, each tile's own
  int64_t tiles = 0;
};

ScoreCount count_scores(const ModelConfig& config, int64_t seq_len) {
  const int64_t group = config.heads / config.kv_heads;
  ScoreCount all;
  for_pieces(seq_len, attention_tile_positions(seq_len, group), [&](int64_t first, int64_t count) {
    all.scores += config.heads * count * (first + count);
    all.seen += config.heads * (count * first + count * (count + 1) / 2);
    all.rows += config.heads * count;
    all.keys += config.kv_heads * (first + count);
    all.tiles += config.kv_heads;
  });
  return all;
}

class StepCount {
 public:
  StepCount(const ModelConfig& config, const std::vector<LinearShape>& linears,
            const MethodSettings& method, const StepShape& shape)
      : config_(config),
        linears_(linears),
        method_(method),
        shape_(shape),
        tokens_(shape.seq_len),
        element_(shape.element_bytes),
        scores_(count_scores(config, shape.seq_len)) {}

  BlockStep all() {
    for (const LinearShape& linear : linears_) {
      product(step_.forward, "products of linears", tokens_, linear.rows, linear.cols, element_);
    }
    around_linears(step_.forward);
    for (const LinearShape& linear : linears_) add_student_forward(linear);
    around_linears(step_.unit);
    add_loss();
    for (const LinearShape& linear : linears_) add_student_backward(linear);
    add_backward_around_linears();
    add_streams();
    add_step();
    return std::move(step_);
  }

 private:
  static void add(StepParts& parts, PartKind kind, std::string_view name, int64_t bytes,
                  int64_t calls = 1) {
    parts.push_back({name, kind, 0, static_cast<double>(bytes), calls});
  }
  void kernel(StepParts& parts, std::string_view name, int64_t bytes, int64_t calls = 1) const {
    add(parts, PartKind::kernel, name, bytes, calls);
  }
  void library(StepParts& parts, std::string_view name, int64_t bytes, int64_t calls = 1) const {
    add(parts, PartKind::library, name, bytes, calls);
  }
  // [m, n] = [m, k] [k, n]
  void product(StepParts& parts, std::string_view name, int64_t m, int64_t n, int64_t k,
               int64_t out_bytes) const {
    parts.push_back({name, PartKind::product,
                     2.0 * static_cast<double>(m) * static_cast<double>(n * k),
                     static_cast<double>(element_ * k * (m + n) + out_bytes * m * n), 1});
  }

  int64_t elements(int64_t columns) const { return element_ * tokens_ * columns; }
  int64_t tables(int64_t columns) const {
    return wide * columns * piece_count(tokens_, tokens_of_sum);
  }
  int64_t salient_of(const LinearShape& linear) const {
    return method_.salient_ratio.salient_of(linear.cols);
  }
  int64_t low_of(const LinearShape& linear) const { return linear.cols - salient_of(linear); }
  // Query, key and value read what no learned value has changed, where norms come first.
  bool wants_input_gradient(const LinearShape& linear) const {
    return linear.role != LinearRole::query && linear.role != LinearRole::key &&
           linear.role != LinearRole::value;
  }
  int64_t query_width() const { return config_.heads * config_.head_dim; }
  int64_t key_width() const { return config_.kv_heads * config_.head_dim; }

  // kernels/STEP.md, "Forward, for each sample".
  void add_student_forward(const LinearShape& linear) {
    StepParts& unit = step_.unit;
    const int64_t sums = wide * tokens_ * piece_count(linear.cols, columns_of_sum);
    kernel(unit, "gather", 2 * elements(linear.cols) + sums);
    kernel(unit, "sums", sums);
    product(unit, "products of linears", tokens_, linear.rows, low_of(linear), element_);
    product(unit, "products of linears", tokens_, linear.rows, salient_of(linear), element_);
    kernel(unit, "combine", 3 * elements(linear.rows));
  }

  // kernels/STEP.md, "Backward, for each sample".
  void add_student_backward(const LinearShape& linear) {
    StepParts& unit = step_.unit;
    const bool to_input = wants_input_gradient(linear);
    const int64_t low = low_of(linear), salient = salient_of(linear);
    const int64_t with_scales = method_.learned.code_scales ? 1 : 0;
    const int64_t row_sums = (2 + with_scales) * tables(linear.rows);
    const int64_t means = wide * tokens_ * piece_count(linear.rows, rows_of_sum);
    kernel(unit, "split_gradient",
           ((to_input ? 4 : 3) + with_scales) * elements(linear.rows) + row_sums + means);
    kernel(unit, "sums", row_sums + means + tables(low), 3);
    product(unit, "products of linears", tokens_, low, linear.rows, element_);
    if (to_input) {
      product(unit, "products of linears", tokens_, salient, linear.rows, element_);
      kernel(unit, "scatter", 3 * elements(linear.cols) + tables(low));
    } else {
      kernel(unit, "scatter", elements(linear.cols + low) + tables(low));
    }
    if (method_.learned.signs) add_latent_gradient(linear);
  }

  void add_latent_gradient(const LinearShape& linear) {
    const int64_t low = low_of(linear);
    kernel(step_.unit, "gather", elements(linear.cols + low));
    product(step_.unit, "products of linears", linear.rows, low, tokens_, wide);
    // Rows of a product begin at 16 bytes, those of the flat gradient where they may.
    if (low % 4 != 0) library(step_.unit, "copies of gradients", 2 * wide * linear.rows * low);
  }

  // What the dense block and the student have in common.
  void around_linears(StepParts& parts) const {
    add_norms(parts, /*backward=*/false);
    add_biases(parts);
    if (config_.family->positions == Positions::rotary) add_rotation(parts);
    add_attention(parts);
    const bool gated = config_.family->is_gated();
    kernel(parts, "gated_activation", (gated ? 3 : 2) * elements(config_.intermediate_size));
    library(parts, "residual sums", 6 * elements(config_.hidden_size), 2);
  }

  void add_norm(StepParts& parts, int64_t values, bool backward) const {
    const int64_t bytes = element_ * values;
    if (config_.family->norm == NormKind::rms) {
      if (backward) {
        kernel(parts, "rms_norm_gradient", 3 * bytes);
      } else {
        kernel(parts, "rms_norm", 2 * bytes);
      }
    } else {  // to float32, the norm or its gradient, and back
      library(parts, "layer norms", 2 * bytes + (backward ? 5 : 4) * wide * values, 3);
    }
  }
  void add_norms(StepParts& parts, bool backward) const {
    const int64_t values = tokens_ * config_.hidden_size;
    // Nothing that is learned lies before the first norm of a block, where norms come first.
    if (!backward || !config_.norm_first) add_norm(parts, values, backward);
    add_norm(parts, values, backward);
    if (!config_.family->names.query_norm.empty()) {
      add_norm(parts, tokens_ * query_width(), backward);
    }
    if (!config_.family->names.key_norm.empty()) add_norm(parts, tokens_ * key_width(), backward);
  }
  void add_biases(StepParts& parts) const {
    for (size_t i = 0; i < linears_.size(); ++i) {
      if (config_.family->linears[i].has_bias(config_)) {
        library(parts, "biases", 2 * elements(linears_[i].rows));
      }
    }
  }
  void add_rotation(StepParts& parts) const {
    kernel(parts, "rotate", 2 * elements(query_width() + key_width()), 2);
  }

  // S = Q K', P in its place, P V; and copies of Q to rows, of the output from rows.
  void add_attention(StepParts& parts) const {
    add_score_products(parts, {.writing = 1, .reading = 1, .adding = 0});
    kernel(parts, "causal_softmax", wide * scores_.seen + element_ * scores_.scores, scores_.tiles);
    library(parts, "copies of attention", 4 * element_ * scores_.rows * config_.head_dim,
            2 * scores_.tiles);
  }
  // Products over scores and head_dim: some write scores in float32, the others read them as
  // elements, and of these some add to a float32 sum.
  struct ScoreProducts {
    int64_t writing, reading, adding;
  };
  void add_score_products(StepParts& parts, const ScoreProducts& which) const {
    const int64_t count = which.writing + which.reading;
    const int64_t of_keys = scores_.keys * config_.head_dim;
    const int64_t bytes = (which.writing * wide + which.reading * element_) * scores_.scores +
                          count * element_ * (scores_.rows * config_.head_dim + of_keys) +
                          which.adding * (2 * wide - element_) * of_keys;
    parts.push_back({"products of attention", PartKind::product,
                     2.0 * static_cast<double>(count * scores_.scores * config_.head_dim),
                     static_cast<double>(bytes), count * scores_.tiles});
  }

  void add_loss() {
    kernel(step_.unit, "sample_loss", 3 * elements(config_.hidden_size), 2);
    kernel(step_.unit, "sample_loss_gradient", 4 * elements(config_.hidden_size));
  }

  void add_backward_around_linears() {
    StepParts& unit = step_.unit;
    const bool gated = config_.family->is_gated();
    kernel(unit, "gated_activation_gradient",
           (gated ? 5 : 3) * elements(config_.intermediate_size));
    add_norms(unit, /*backward=*/true);
    // dS, dP, dV, dK and dQ; copies of Q, dO and dQ between heads and rows, and of dK and dV from
    // their float32 sums, which begin at 0.
    add_score_products(unit, {.writing = 2, .reading = 3, .adding = 2});
    kernel(unit, "causal_softmax_gradient", 2 * (wide * scores_.seen + element_ * scores_.scores),
           scores_.tiles);
    library(unit, "copies of attention",
            6 * element_ * scores_.rows * config_.head_dim +
                2 * (2 * wide + element_) * tokens_ * key_width(),
            3 * scores_.tiles + 4 * config_.kv_heads);
    if (config_.family->positions == Positions::rotary) add_rotation(unit);
    // The gradients of what two parts read: the middle of the block, and the input of gate and up.
    library(unit, "residual sums", (gated ? 6 : 3) * elements(config_.hidden_size), gated ? 2 : 1);
  }

  // Input and both targets, made elements on the device. How they come there is no part of it: they
  // lie there, or are sent beside the computing.
  void add_streams() {
    if (shape_.stream_bytes == element_) return;
    library(step_.unit, "streams to elements",
            3 * (shape_.stream_bytes + element_) * tokens_ * config_.hidden_size, 3);
  }

  void add_step() {
    int64_t learned = 0;
    for (const LinearShape& linear : linears_) {
      const int64_t low = low_of(linear);
      for (const LearnedTensor& tensor : learned_of(linear.rows, low, method_)) {
        learned += tensor.size();
      }
      library(step_.step, "row factors", 5 * wide * linear.rows, 2);
      if (method_.learned.signs) {
        kernel(step_.step, "signs_operand", (wide + element_) * linear.rows * low);
      }
    }
    library(step_.addition, "sums over a batch", 3 * wide * learned);
  }

  const ModelConfig& config_;
  const std::vector<LinearShape>& linears_;
  const MethodSettings& method_;
  const StepShape shape_;
  const int64_t tokens_, element_;
  const ScoreCount scores_;
  BlockStep step_;
};

}  // namespace

BlockStep block_step(const ModelConfig& config, const std::vector<LinearShape>& linears,
                     const MethodSettings& method, const StepShape& shape) {
  return StepCount(config, linears, method, shape).all();
}

}  // namespace bitmill
