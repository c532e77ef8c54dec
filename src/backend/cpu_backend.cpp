// The factored form of spec section 8. Tokens are cut into tiles; a tile's products, forward and
// backward, are one task, and sums over tokens are made per tile and then over tiles in order.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "backend/backend.hpp"
#include "backend/cpu_loops.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// 256 tokens keep the cost of reading signs and codes again for every tile below a few percent of
// the product, and still give eight tasks for a sample of 2,048.
constexpr int64_t tokens_per_tile = 256;

// Strides in whole cache lines, so that every row of an operand begins on one.
constexpr int64_t floats_per_line = 16;
int64_t padded(int64_t columns) {
  return (columns + floats_per_line - 1) / floats_per_line * floats_per_line;
}

// A float32 operand [rows, padded(columns)], zeros behind.
at::Tensor operand(const at::Tensor& values) {
  at::Tensor out = at::zeros({values.size(0), padded(values.size(1))});
  out.narrow(1, 0, values.size(1)).copy_(values);
  return out;
}

struct Prepared {
  FrozenLinear frozen;
  at::Tensor signs;     // [rows, padded(low)]
  at::Tensor four_bit;  // [rows, padded(salient)], s (q - z): s is not learned
  ThreadPool& pool;

  Prepared(const FrozenLinear& linear, ThreadPool& threads) : frozen(linear), pool(threads) {
    signs = operand(linear.signs);
    four_bit =
        operand(linear.code_scale.unsqueeze(1) * (linear.codes - linear.code_zero.unsqueeze(1)));
    frozen.signs.reset();  // not needed again
    frozen.codes.reset();
  }

  int64_t low() const { return frozen.low_columns.size(0); }
  int64_t salient() const { return frozen.salient_columns.size(0); }
};

// One tile of a sample and the views that its loops take.
class Tile {
 public:
  Tile(const Prepared& linear, const at::Tensor& x, const at::Tensor& col_gain, int64_t index)
      : linear_(linear),
        first_(index * tokens_per_tile),
        count_(std::min(tokens_per_tile, x.size(0) - first_)),
        gather_{part(x),
                linear.frozen.low_columns.data_ptr<int64_t>(),
                linear.frozen.salient_columns.data_ptr<int64_t>(),
                col_gain.data_ptr<float>(),
                count_,
                linear.frozen.cols,
                linear.low(),
                linear.salient()} {}

  static int64_t count_for(int64_t tokens) {
    return (tokens + tokens_per_tile - 1) / tokens_per_tile;
  }

  at::Tensor narrow(const at::Tensor& all) const { return all.narrow(0, first_, count_); }
  float* part(const at::Tensor& all) const {
    return all.data_ptr<float>() + first_ * all.stride(0);
  }
  at::Tensor scratch(int64_t columns) const { return at::empty({count_, columns}); }
  const cpu_loops::GatherInput& gather_input() const { return gather_; }

  cpu_loops::CombineInput combine_input(const at::Tensor& low_product, const at::Tensor& low_sum,
                                        const at::Tensor& row_factor,
                                        const at::Tensor& mean_factor) const {
    return {part(low_product),
            part(low_sum),
            row_factor.data_ptr<float>(),
            mean_factor.data_ptr<float>(),
            count_,
            linear_.frozen.rows};
  }

 private:
  const Prepared& linear_;
  int64_t first_;
  int64_t count_;
  cpu_loops::GatherInput gather_;
};

struct Factors {
  at::Tensor row;   // r1 alpha [rows]
  at::Tensor mean;  // r1 mu [rows]

  Factors(const Prepared& linear, const at::Tensor& row_scale, const at::Tensor& row_gain)
      : row(row_gain * row_scale), mean(row_gain * linear.frozen.row_mean) {}
};

struct FactoredLinear : torch::autograd::Function<FactoredLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& row_scale, const at::Tensor& row_gain,
                            const at::Tensor& col_gain, int64_t linear_address) {
    const Prepared& linear = linear_at(linear_address);
    const int64_t tokens = x.size(0), rows = linear.frozen.rows;
    const Factors factors(linear, row_scale, row_gain);
    const at::Tensor y = at::empty({tokens, rows});
    const at::Tensor low_product = at::empty({tokens, rows});  // u = S x^
    const at::Tensor low_sum = at::empty({tokens});            // v = sum_j x^_j
    linear.pool.parallel_for(Tile::count_for(tokens), [&](int64_t index) {
      const at::NoGradGuard no_grad;
      const Tile tile(linear, x, col_gain, index);
      const at::Tensor low = tile.scratch(linear.signs.size(1));
      const at::Tensor salient = tile.scratch(linear.four_bit.size(1));
      cpu_loops::gather(tile.gather_input(),
                        {low.data_ptr<float>(), tile.part(low_sum), salient.data_ptr<float>(),
                         low.size(1), salient.size(1)});
      at::Tensor u = tile.narrow(low_product), w = tile.narrow(y);
      at::mm_out(u, low, linear.signs.t());
      at::mm_out(w, salient, linear.four_bit.t());
      cpu_loops::combine(tile.combine_input(low_product, low_sum, factors.row, factors.mean),
                         tile.part(y));
    });
    context->save_for_backward({x, row_scale, row_gain, col_gain, low_product, low_sum});
    context->saved_data["linear"] = linear_address;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Prepared& linear = linear_at(context->saved_data["linear"].toInt());
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &row_scale = saved[1], &row_gain = saved[2],
                     &col_gain = saved[3];
    const at::Tensor gradient = gradients[0].contiguous();
    const int64_t tiles = Tile::count_for(x.size(0)), rows = linear.frozen.rows;
    const Factors factors(linear, row_scale, row_gain);
    const at::Tensor x_gradient =
        context->needs_input_grad(0) ? at::empty(x.sizes()) : at::Tensor();
    const at::Tensor scale_sums = at::empty({tiles, rows}), mean_sums = at::empty({tiles, rows});
    const at::Tensor col_gain_sums = at::empty({tiles, linear.low()});
    linear.pool.parallel_for(tiles, [&](int64_t index) {
      const at::NoGradGuard no_grad;
      const Tile tile(linear, x, col_gain, index);
      const at::Tensor low_gradient = tile.scratch(rows), mean_gradient = tile.scratch(1);
      const at::Tensor salient_gradient = x_gradient.defined() ? tile.scratch(rows) : at::Tensor();
      cpu_loops::split_gradient(tile.combine_input(saved[4], saved[5], factors.row, factors.mean),
                                tile.part(gradient),
                                {low_gradient.data_ptr<float>(), mean_gradient.data_ptr<float>(),
                                 row_of(scale_sums, index), row_of(mean_sums, index)});
      const at::Tensor low = at::mm(low_gradient, linear.signs);
      const at::Tensor salient =
          x_gradient.defined() ? at::mm(tile.narrow(gradient), linear.four_bit) : at::Tensor();
      cpu_loops::scatter(tile.gather_input(),
                         {low.data_ptr<float>(), mean_gradient.data_ptr<float>(),
                          data_or_null(salient), linear.signs.size(1), linear.four_bit.size(1)},
                         row_of(col_gain_sums, index),
                         x_gradient.defined() ? tile.part(x_gradient) : nullptr);
    });
    const at::Tensor scale_sum = add_rows(scale_sums), mean_sum = add_rows(mean_sums);
    return {x_gradient,
            row_gain * scale_sum,                                       // d alpha
            row_scale * scale_sum + linear.frozen.row_mean * mean_sum,  // d r1
            add_rows(col_gain_sums),                                    // d r2
            at::Tensor()};
  }

 private:
  // An autograd context keeps integers and tensors only.
  static const Prepared& linear_at(int64_t address) {
    return *reinterpret_cast<const Prepared*>(address);
  }
  static float* data_or_null(const at::Tensor& tensor) {
    return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
  }
  static float* row_of(const at::Tensor& table, int64_t row) {
    return table.data_ptr<float>() + row * table.size(1);
  }
  // Tiles in order.
  static at::Tensor add_rows(const at::Tensor& table) {
    at::Tensor sum = table[0].clone();
    for (int64_t row = 1; row < table.size(0); ++row) sum += table[row];
    return sum;
  }
};

class CpuLinear final : public StudentLinear {
 public:
  CpuLinear(const FrozenLinear& frozen, ThreadPool& pool) : prepared_(frozen, pool) {}

  at::Tensor forward(const at::Tensor& x, const LearnedScales& learned) const override {
    return FactoredLinear::apply(x.contiguous(), learned.row_scale, learned.row_gain,
                                 learned.col_gain, reinterpret_cast<int64_t>(&prepared_));
  }

 private:
  const Prepared prepared_;
};

class CpuBackend final : public Backend {
 public:
  std::string_view name() const override { return "cpu"; }
  std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen,
                                         ThreadPool& pool) const override {
    return std::make_unique<CpuLinear>(frozen, pool);
  }
};

}  // namespace

std::unique_ptr<Backend> cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace bitmill
