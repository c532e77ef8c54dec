#pragma once
// What is learned of a block, as one flat float32 vector: summation over ranks, optimiser and saved
// state see that vector and nothing else, and assume nothing about its size.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "method/grid.hpp"
#include "method/settings.hpp"

namespace bitmill {

enum class LearnedKind { row_scale, row_gain, col_gain, row_mean, code_scale, latents };

// Where a linear's tensors hold what a segment holds.
at::Tensor LearnedLinear::*member_of(LearnedKind kind);

// One tensor within the flat vector.
struct LearnedSegment {
  int linear = 0;  // index among the quantized linears of the block
  LearnedKind kind = LearnedKind::row_scale;
  int64_t offset = 0;  // elements, a multiple of 16
  int64_t size = 0;
  double rate = 0;   // learning rate, before the schedule
  int64_t rows = 0;  // of latents [rows, size / rows]; 0 for a vector
};

class LearnedLayout {
 public:
  // Of linears with these shapes: row_scale, row_gain and col_gain of each, then row_mean and
  // code_scale where they are learned; behind those of all linears the latents, where signs are.
  LearnedLayout(std::span<const InitialLinear> linears, const MethodSettings& settings);
  // Of several blocks together, one behind the other. REQUIRES: vectors only, no latents.
  explicit LearnedLayout(std::span<const LearnedLayout* const> blocks);

  const std::vector<LearnedSegment>& segments() const { return segments_; }
  int64_t size() const { return size_; }                  // elements, gaps included
  int64_t vectors_size() const { return vectors_size_; }  // those before the latents
  const LearnedParts& parts() const { return parts_; }

  // As `linears` begin; gains 1, gaps 0.
  std::vector<float> initial_values(std::span<const InitialLinear> linears) const;

  // Tensors over the memory of `flat` (size() elements), per linear; no copy. `flat` must outlive
  // them. Without latent gradients.
  std::vector<LearnedLinear> views(std::span<float> flat) const;

 private:
  void add(int linear, LearnedKind kind, int64_t size, double rate, int64_t rows = 0);

  const LearnedParts parts_;
  std::vector<LearnedSegment> segments_;
  int64_t size_ = 0;
  int64_t vectors_size_ = 0;
};

}  // namespace bitmill
