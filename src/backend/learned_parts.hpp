#pragma once
// What is learned of a quantized linear beside row_scale, row_gain and col_gain, which always are;
// and how a gradient reaches a sign.

namespace bitmill {

struct LearnedParts {
  bool signs = false;
  bool row_means = false;
  bool code_scales = false;

  bool operator==(const LearnedParts&) const = default;
};

// The gradient of a sign goes straight through to its latent where |theta| is below this
// (METHOD.md, "Learned signs"); elsewhere the latent's gradient is 0.
inline constexpr float straight_through_window = 1.5F;

}  // namespace bitmill
