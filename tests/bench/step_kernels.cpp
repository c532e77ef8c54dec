#include "bench/step_kernels.hpp"

#include <cstdint>
#include <cstdio>
#include <functional>

#include "bench/event_timer.hpp"
#include "kernels/adamw.hpp"
#include "kernels/causal_softmax.hpp"
#include "kernels/combine.hpp"
#include "kernels/gated_activation.hpp"
#include "kernels/gather.hpp"
#include "kernels/operands.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rotary.hpp"
#include "kernels/sample_loss.hpp"
#include "kernels/scatter.hpp"
#include "kernels/split_gradient.hpp"

namespace bitmill {
namespace {

using kernels::Element;

// An 8,192 x 8,192 linear with every fifth column salient. Four times a sample's tokens: every
// array is then larger than the L2 cache of an H200 (60 MB).
constexpr int64_t tokens = 8192, rows = 8192, cols = 8192;
constexpr int64_t low = cols - (cols + 4) / 5, salient = (cols + 4) / 5;
constexpr int64_t low_stride = (low + 15) / 16 * 16, salient_stride = (salient + 15) / 16 * 16;
constexpr int64_t large = int64_t{64} << 20;  // elements of what is as large as a weight
constexpr Element element = Element::bfloat16;

using Halves = DeviceArray<uint16_t>;
using Floats = DeviceArray<float>;

std::vector<uint16_t> halves(int64_t count) {
  return std::vector<uint16_t>(static_cast<size_t>(count), 0x3F80);  // 1
}
std::vector<float> floats(int64_t count) {
  return std::vector<float>(static_cast<size_t>(count), 1);
}

class Lines {
 public:
  explicit Lines(double copy_gb_per_s) : copy_gb_per_s_(copy_gb_per_s) {}

  void add(const char* name, int64_t bytes, const std::function<kernels::cudaError_t()>& run) {
    const double ms = median_ms([&] { cuda_check(run(), name); });
    const double gb_per_s = static_cast<double>(bytes) / ms / 1e6;
    all_.push_back({name, ms, gb_per_s, gb_per_s / copy_gb_per_s_});
  }
  std::vector<KernelSpeed> take() { return std::move(all_); }

 private:
  const double copy_gb_per_s_;
  std::vector<KernelSpeed> all_;
};

void add_column_kernels(Lines& lines) {
  std::vector<uint32_t> mask(cols / 32, 0);
  for (int64_t column = 0; column < cols; column += 5) packed::set_bit(mask.data(), column);
  const DeviceArray<uint32_t> mask_there(mask);
  const DeviceArray<int32_t> low_before(kernels::count_low_before(mask));
  const kernels::ColumnSplit split{mask_there.data(), low_before.data(), cols, low};
  const Halves x(halves(tokens * cols)), of_x(halves(tokens * cols)),
      low_part(halves(tokens * low_stride)), salient_part(halves(tokens * salient_stride));
  const Floats gain(floats(low)), mean(floats(tokens)),
      sums(floats(kernels::token_tiles(tokens) * low)),
      low_sum(floats(kernels::column_tiles(cols) * tokens));
  lines.add("gather", 4 * tokens * cols, [&] {
    return kernels::gather({x.data(), split, gain.data(), low_part.data(), salient_part.data(),
                            low_sum.data(), tokens, low_stride, salient_stride, element},
                           nullptr);
  });
  lines.add("scatter", 6 * tokens * cols + tokens / 64 * low * 4, [&] {
    return kernels::scatter(
        {x.data(), split, gain.data(), low_part.data(), salient_part.data(), mean.data(),
         of_x.data(), sums.data(), tokens, low_stride, salient_stride, element},
        nullptr);
  });
}

void add_row_kernels(Lines& lines) {
  const Halves g(halves(tokens * rows)), u(halves(tokens * rows)), w(halves(tokens * rows)),
      y(halves(tokens * rows));
  const Floats per_row(floats(rows)), per_token(floats(tokens)),
      mean(floats(kernels::row_tiles(rows) * tokens)),
      scale_sum(floats(kernels::token_tiles(tokens) * rows)),
      mean_sum(floats(kernels::token_tiles(tokens) * rows));
  lines.add("combine", 6 * tokens * rows, [&] {
    return kernels::combine({u.data(), w.data(), per_token.data(), per_row.data(), per_row.data(),
                             per_row.data(), y.data(), tokens, rows, element},
                            nullptr);
  });
  lines.add("split_gradient", 8 * tokens * rows + tokens / 64 * rows * 8, [&] {
    return kernels::split_gradient(
        {g.data(), u.data(), nullptr, per_token.data(), per_row.data(), per_row.data(),
         per_row.data(), w.data(), y.data(), mean.data(), scale_sum.data(), mean_sum.data(),
         nullptr, tokens, rows, element},
        nullptr);
  });
  lines.add("gated_activation", 6 * tokens * rows, [&] {
    return kernels::gated_activation(
        {g.data(), u.data(), y.data(), tokens * rows, kernels::Activation::silu, element}, nullptr);
  });
  lines.add("gated_activation_gradient", 10 * tokens * rows, [&] {
    return kernels::gated_activation_gradient({g.data(), u.data(), w.data(), y.data(), u.data(),
                                               tokens * rows, kernels::Activation::silu, element},
                                              nullptr);
  });
}

void add_token_kernels(Lines& lines) {
  const Halves y(halves(tokens * rows)), normal(halves(tokens * rows)),
      homologous(halves(tokens * rows)), gradient(halves(tokens * rows));
  const Floats sums(floats(tokens * 8)), coefficients(floats(tokens * 4)), loss(floats(1)),
      weight(floats(rows)), inverse(floats(tokens));
  const kernels::SampleLoss task{y.data(),
                                 normal.data(),
                                 homologous.data(),
                                 sums.data(),
                                 coefficients.data(),
                                 loss.data(),
                                 tokens,
                                 rows,
                                 1,
                                 1,
                                 false,
                                 element,
                                 element};
  lines.add("sample_loss", 6 * tokens * rows, [&] { return kernels::sample_loss(task, nullptr); });
  lines.add("sample_loss_gradient", 8 * tokens * rows,
            [&] { return kernels::sample_loss_gradient(task, gradient.data(), nullptr); });
  lines.add("rms_norm", 4 * tokens * rows, [&] {
    return kernels::rms_norm({y.data(), weight.data(), gradient.data(), inverse.data(), tokens,
                              rows, 1e-5F, element, element},
                             nullptr);
  });
  lines.add("rms_norm_gradient", 6 * tokens * rows, [&] {
    return kernels::rms_norm_gradient({y.data(), weight.data(), inverse.data(), normal.data(),
                                       gradient.data(), tokens, rows, element, element},
                                      nullptr);
  });
}

// Tiles as long as those at 70B and T = 2,048, but all tiles of a head at once: then they are
// larger than the L2 cache. Every row sees all keys. In place, again and again: what numbers these
// are does not matter.
void add_attention_kernels(Lines& lines) {
  constexpr int64_t keys = 2048, score_rows = 4 * 4096, heads = 64, head_dim = 128;
  const Floats scores(floats(score_rows * keys)), gradient(floats(score_rows * keys)),
      angles(floats(tokens * head_dim));
  const Halves x(halves(tokens * heads * head_dim)), y(halves(tokens * heads * head_dim));
  const kernels::ScoreRows shape{score_rows, keys, keys, 8, keys};
  lines.add("causal_softmax", 6 * score_rows * keys, [&] {
    return kernels::causal_softmax({scores.data(), shape, 0.1F, element}, nullptr);
  });
  lines.add("causal_softmax_gradient", 12 * score_rows * keys, [&] {
    return kernels::causal_softmax_gradient({scores.data(), gradient.data(), shape, 0.1F, element},
                                            nullptr);
  });
  lines.add("rotate", 4 * tokens * heads * head_dim, [&] {
    return kernels::rotate(
        {x.data(), angles.data(), angles.data(), y.data(), tokens, heads, head_dim, false, element},
        nullptr);
  });
}

void add_weight_kernels(Lines& lines) {
  std::vector<kernels::AdamWPiece> pieces;
  constexpr auto count = static_cast<int32_t>(kernels::adamw_elements_per_piece);
  for (int64_t begin = 0; begin < large; begin += count) {
    pieces.push_back({begin, count, 1.5F, 1e-3});
  }
  const DeviceArray<kernels::AdamWPiece> pieces_there(pieces);
  const Floats a(floats(large)), b(floats(large)), c(floats(large)), d(floats(large));
  lines.add("adamw", 28 * large, [&] {
    return kernels::adamw({pieces_there.data(), a.data(), b.data(), c.data(), d.data(),
                           std::ssize(pieces), 1, 0.5F, 1, 0.5},
                          nullptr);
  });
  const Halves signs(halves(large / low * low_stride));
  lines.add("signs_operand", large / low * (low * 4 + low_stride * 2), [&] {
    return kernels::signs_operand(
        {a.data(), nullptr, signs.data(), large / low, low, low_stride, element}, nullptr);
  });
}

}  // namespace

std::vector<KernelSpeed> step_kernel_speeds(double copy_gb_per_s) {
  Lines lines(copy_gb_per_s);
  add_column_kernels(lines);
  add_row_kernels(lines);
  add_token_kernels(lines);
  add_attention_kernels(lines);
  add_weight_kernels(lines);
  return lines.take();
}

}  // namespace bitmill
