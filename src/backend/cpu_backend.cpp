// The factored form (METHOD.md). Tokens are cut into tiles. The products of one tile are one task,
// forward and backward. Sums over tokens are made first within each tile, then over the tiles in
// order. The gradient of learned signs is a product over all tokens of the sample, cut into tiles
// of rows.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "backend/backend.hpp"
#include "backend/cpu_tile.hpp"
#include "base/pieces.hpp"
#include "device/host_product.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Factors {
  at::Tensor row;   // r1 alpha [rows]
  at::Tensor mean;  // r1 mu [rows]

  Factors(const at::Tensor& row_scale, const at::Tensor& row_gain, const at::Tensor& row_mean)
      : row(row_gain * row_scale), mean(row_gain * row_mean) {}
};

// Sums over the tokens of each tile; over() adds tiles up in order.
struct TileSums {
  at::Tensor table;  // [tiles, columns]

  TileSums(int64_t tiles, int64_t columns) : table(at::empty({tiles, columns})) {}
  float* of(int64_t tile) const { return table.data_ptr<float>() + tile * table.size(1); }
  at::Tensor over() const {
    at::Tensor sum = table[0].clone();
    for (int64_t tile = 1; tile < table.size(0); ++tile) sum += table[tile];
    return sum;
  }
};

float* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

// The backward pass of one sample. Only the tensors that run() and latent_product() fill change
// after construction.
class Backward {
 public:
  Backward(const CpuPrepared& linear, const variable_list& saved, const at::Tensor& gradient,
           bool needs_x)
      : linear_(linear),
        x_(saved[0]),
        row_scale_(saved[1]),
        row_gain_(saved[2]),
        col_gain_(saved[3]),
        row_mean_(saved[4]),
        code_scale_(saved[5]),
        low_product_(saved[7]),
        low_sum_(saved[8]),
        salient_product_(saved[9]),
        gradient_(gradient),
        factors_(row_scale_, row_gain_, row_mean_),
        tiles_(piece_count(x_.size(0), tokens_per_tile)),
        scale_sums_(tiles_, linear.frozen.rows),
        mean_sums_(tiles_, linear.frozen.rows),
        col_gain_sums_(tiles_, linear.low()),
        code_scale_sums_(linear.parts.code_scales ? tiles_ : 0, linear.frozen.rows) {
    if (needs_x) x_gradient_ = at::empty(x_.sizes());
    if (linear.parts.signs) {
      low_gradient_ = at::empty({x_.size(0), linear.frozen.rows}, linear.operand);
      low_input_ = at::empty({x_.size(0), linear.signs.size(1)}, linear.operand);
    }
  }

  void run() {
    parallel_pieces(linear_.pool, x_.size(0), tokens_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard no_grad;
      run_tile(CpuTile(linear_, x_, col_gain_, first, count), first / tokens_per_tile);
    });
  }

  // dS_ij = r1_i alpha_i sum_t g_ti x^_tj, straight through to the latents. After run().
  void latent_product(const at::Tensor& latents, const at::Tensor& out) const {
    const int64_t low = linear_.low();
    const int64_t weight_rows = linear_.frozen.rows;
    parallel_pieces(linear_.pool, weight_rows, rows_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard no_grad;
      const at::Tensor rows = out.narrow(0, first, count);
      host_product_into(rows, low_gradient_.narrow(1, first, count).t(),
                        low_input_.narrow(1, 0, low));
      cpu_loops::clip_to_window(latents.data_ptr<float>() + first * low, count * low,
                                rows.data_ptr<float>());
    });
  }

  // In the order of FactoredLinear::forward's arguments.
  variable_list gradients() const {
    const at::Tensor scale_sum = scale_sums_.over(), mean_sum = mean_sums_.over();
    const bool means = linear_.parts.row_means, code_scales = linear_.parts.code_scales;
    return {x_gradient_,
            row_gain_ * scale_sum,                                 // d alpha
            row_scale_ * scale_sum + row_mean_ * mean_sum,         // d r1
            col_gain_sums_.over(),                                 // d r2
            means ? row_gain_ * mean_sum : at::Tensor(),           // d mu
            code_scales ? code_scale_sums_.over() : at::Tensor(),  // d s
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }

 private:
  void run_tile(const CpuTile& tile, int64_t index) {
    const int64_t rows = linear_.frozen.rows;
    const at::Tensor low_gradient = in_place() ? tile.narrow(low_gradient_) : tile.scratch(rows);
    const at::Tensor mean_gradient = tile.scratch(1);
    cpu_loops::split_gradient(
        tile.combine_input(low_product_, low_sum_, factors_.row, factors_.mean),
        tile.part(gradient_),
        {low_gradient.data_ptr<float>(), mean_gradient.data_ptr<float>(), scale_sums_.of(index),
         mean_sums_.of(index)});
    if (linear_.parts.signs) keep_for_signs(tile, low_gradient);
    const at::Tensor low = product(low_gradient, linear_.signs);
    const at::Tensor salient = salient_gradient(tile, index);
    cpu_loops::scatter(tile.gather_input(),
                       {low.data_ptr<float>(), mean_gradient.data_ptr<float>(),
                        data_or_null(salient), linear_.signs.size(1), linear_.four_bit.size(1)},
                       col_gain_sums_.of(index),
                       x_gradient_.defined() ? tile.part(x_gradient_) : nullptr);
  }

  // Whether the tiles of what the gradient of signs needs are written where they stay.
  bool in_place() const { return linear_.parts.signs && linear_.operand == at::kFloat; }

  void keep_for_signs(const CpuTile& tile, const at::Tensor& low_gradient) {
    const int64_t columns = low_input_.size(1);
    const at::Tensor low = in_place() ? tile.narrow(low_input_) : tile.scratch(columns);
    cpu_loops::gather_low(tile.gather_input(), columns, low.data_ptr<float>());
    if (in_place()) return;
    tile.narrow(low_input_).copy_(low);
    tile.narrow(low_gradient_).copy_(low_gradient);
  }

  static at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
    const at::Tensor out = at::empty({a.size(0), b.size(1)});
    host_product_into(out, a, b);
    return out;
  }

  // g s (q - z), where the gradient of x is wanted; and d s_i = sum_t g_ti w_ti, where s is
  // learned.
  at::Tensor salient_gradient(const CpuTile& tile, int64_t index) {
    const int64_t rows = linear_.frozen.rows;
    if (linear_.parts.code_scales) {
      cpu_loops::dot_over_tokens(tile.part(gradient_), tile.part(salient_product_), tile.tokens(),
                                 rows, code_scale_sums_.of(index));
    }
    if (!x_gradient_.defined()) return {};
    if (!linear_.scales_after()) return product(tile.narrow(gradient_), linear_.four_bit);
    const at::Tensor gradient = tile.scratch(rows);
    cpu_loops::scale_rows(tile.part(gradient_), code_scale_.data_ptr<float>(), tile.tokens(), rows,
                          gradient.data_ptr<float>());
    return product(gradient, linear_.four_bit);
  }

  const CpuPrepared& linear_;
  const at::Tensor x_, row_scale_, row_gain_, col_gain_, row_mean_, code_scale_;
  const at::Tensor low_product_, low_sum_, salient_product_;
  const at::Tensor gradient_;
  const Factors factors_;
  const int64_t tiles_;
  const TileSums scale_sums_, mean_sums_, col_gain_sums_, code_scale_sums_;
  at::Tensor x_gradient_;
  at::Tensor low_gradient_;  // r1 alpha g [tokens, rows] of all tiles, where signs are learned
  at::Tensor low_input_;     // x^ [tokens, padded low] of all tiles, where signs are learned
};

struct FactoredLinear : torch::autograd::Function<FactoredLinear> {
  // A value that is not learned comes as an empty tensor; row_mean and code_scale are always given.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& row_scale, const at::Tensor& row_gain,
                            const at::Tensor& col_gain, const at::Tensor& row_mean,
                            const at::Tensor& code_scale, const at::Tensor& latents,
                            const at::Tensor& latent_gradient, int64_t linear_address) {
    const CpuPrepared& linear = linear_at(linear_address);
    const int64_t tokens = x.size(0), rows = linear.frozen.rows;
    const Factors factors(row_scale, row_gain, row_mean);
    const bool scaled = linear.scales_after(), kept = linear.parts.code_scales;
    const at::Tensor y = at::empty({tokens, rows});
    const at::Tensor low_product = at::empty({tokens, rows});  // u = S x^
    const at::Tensor low_sum = at::empty({tokens});            // v = sum_j x^_j
    const at::Tensor salient_product =                         // w = (q - z) x_salient
        at::empty({kept ? tokens : 0, rows});
    parallel_pieces(linear.pool, tokens, tokens_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard no_grad;
      const CpuTile tile(linear, x, col_gain, first, count);
      const at::Tensor low = tile.scratch(linear.signs.size(1));
      const at::Tensor salient = tile.scratch(linear.four_bit.size(1));
      cpu_loops::gather(tile.gather_input(),
                        {low.data_ptr<float>(), tile.part(low_sum), salient.data_ptr<float>(),
                         low.size(1), salient.size(1)});
      const at::Tensor w = tile.narrow(kept ? salient_product : y);
      host_product_into(tile.narrow(low_product), low, linear.signs.t());
      host_product_into(w, salient, linear.four_bit.t());
      if (scaled) {
        cpu_loops::scale_rows(w.data_ptr<float>(), code_scale.data_ptr<float>(), tile.tokens(),
                              rows, tile.part(y));
      }
      cpu_loops::combine(tile.combine_input(low_product, low_sum, factors.row, factors.mean),
                         tile.part(y));
    });
    context->save_for_backward({x, row_scale, row_gain, col_gain, row_mean, code_scale, latents,
                                low_product, low_sum, salient_product});
    context->saved_data["latent_gradient"] = latent_gradient;
    context->saved_data["linear"] = linear_address;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const CpuPrepared& linear = linear_at(context->saved_data["linear"].toInt());
    const variable_list saved = context->get_saved_variables();
    Backward way(linear, saved, gradients[0].contiguous(), context->needs_input_grad(0));
    way.run();
    if (linear.parts.signs) {
      way.latent_product(saved[6], context->saved_data["latent_gradient"].toTensor());
    }
    return way.gradients();
  }

 private:
  // An autograd context keeps integers and tensors only.
  static const CpuPrepared& linear_at(int64_t address) {
    return *reinterpret_cast<const CpuPrepared*>(address);
  }
};

class CpuLinear final : public StudentLinear {
 public:
  CpuLinear(const FrozenLinear& frozen, const LearnedNames& learned, at::ScalarType operand,
            ThreadPool& pool)
      : prepared_(frozen, learned, operand, pool) {}

  void begin_step(const LearnedLinear& learned) override {
    if (prepared_.parts.signs) prepared_.take_signs(learned[part::latents]);
  }

  at::Tensor forward(const at::Tensor& x, const LearnedLinear& learned) const override {
    const auto given = [](const at::Tensor& part) {
      return part.defined() ? part : at::empty({0});
    };
    return FactoredLinear::apply(
        x.contiguous(), learned[part::row_scale], learned[part::row_gain], learned[part::col_gain],
        learned_or(learned, part::row_mean, prepared_.frozen.row_mean),
        learned_or(learned, part::code_scale, prepared_.frozen.code_scale),
        given(learned[part::latents]), given(learned.gradient_place(part::latents)),
        reinterpret_cast<int64_t>(&prepared_));
  }

 private:
  CpuPrepared prepared_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(at::ScalarType operand) : operand_(operand) {}
  std::string_view name() const override { return "cpu"; }
  std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen, const LearnedNames& learned,
                                         ThreadPool& pool) const override {
    return std::make_unique<CpuLinear>(frozen, learned, operand_, pool);
  }

 private:
  const at::ScalarType operand_;
};

}  // namespace

std::unique_ptr<Backend> cpu_backend(at::ScalarType operand) {
  return std::make_unique<CpuBackend>(operand);
}

}  // namespace bitmill
