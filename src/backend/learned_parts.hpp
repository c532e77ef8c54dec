#pragma once
// What is learned of a quantized linear beside row_scale, row_gain and col_gain, which are always
// learned; and the window in which a gradient reaches a latent.

namespace bitmill {

struct LearnedParts {
  bool signs = false;
  bool row_means = false;
  bool code_scales = false;

  bool operator==(const LearnedParts&) const = default;
};

// Where |theta| is below this, the gradient of the sign becomes the gradient of its latent
// (METHOD.md, "Learned signs"). Elsewhere the gradient of the latent is 0. AdamW applies it to the
// sum over units. The backends of the host apply it to each unit's gradient too: the same bits.
inline constexpr float straight_through_window = 1.5F;

}  // namespace bitmill
