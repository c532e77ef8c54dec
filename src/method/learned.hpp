#pragma once
// What is learned of a block, as one flat float32 tensor cut into named segments. The code that
// makes a linear declares what is learned of it (learned_of() in grid.hpp, TunedBlock), and the
// backend finds it by name. The training loop, the sums over samples and ranks, the optimiser and
// the saved state know the list of segments, but not what a segment means.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/learned_linear.hpp"

namespace bitmill {

// Something that is learned of a linear.
struct LearnedTensor {
  std::string name;            // as the backend knows it
  std::vector<int64_t> shape;  // row-major
  double rate = 0;             // learning rate, before the schedule
  // As large as a weight. The backward pass writes its gradient to the place that LearnedLinear
  // gives, and its state is saved linear by linear, under its name.
  bool large = false;
  at::Tensor first = {};  // float32, the first values; undefined: all begin at 1
  // The gradient counts as 0 where the magnitude of the value is not below this; 0: no such window.
  float window = 0;

  int64_t size() const;
};

// All that is learned of one linear, in the order of the flat tensor. No name comes twice.
using LearnedTensors = std::vector<LearnedTensor>;

// A learned tensor's place within the flat tensor.
struct LearnedSegment {
  int linear = 0;  // index among the quantized linears of the block
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // elements, a multiple of 16
  int64_t size = 0;
  double rate = 0;
  bool large = false;
  float window = 0;
};

class LearnedLayout {
 public:
  // First the tensors of all linears that are not large, linear by linear; behind them the large
  // ones, linear by linear.
  explicit LearnedLayout(std::span<const LearnedTensors> linears);
  // The layouts of several blocks, one behind the other, each with its large tensors behind its
  // others.
  explicit LearnedLayout(std::span<const LearnedLayout* const> blocks);

  const std::vector<LearnedSegment>& segments() const { return segments_; }
  int64_t size() const { return size_; }              // elements, gaps included
  int64_t small_size() const { return small_size_; }  // elements before the first large segment
  bool has_large() const { return small_size_ < size_; }
  // The elements before the first large segment, and those from there on, as layouts of their own,
  // which begin at 0. REQUIRES: of one block.
  LearnedLayout small_part() const;
  LearnedLayout large_part() const;
  LearnedNames names(int linear) const;

  // The first values of `linears`, wherever they are, as one tensor [size()] on `device`. REQUIRES:
  // the layout was made of these linears.
  at::Tensor initial_values(std::span<const LearnedTensors> linears,
                            at::Device device = at::kCPU) const;
  // Sets all elements of `flat` to 0, except those of large segments.
  void clear_small(const at::Tensor& flat) const;

  // Tensors over the memory of `flat` [size()], per linear, wherever it is; no copy, and leaves of
  // any graph. When `gradient` [size()] is given, it holds the gradient places of large tensors.
  std::vector<LearnedLinear> views(const at::Tensor& flat, const at::Tensor& gradient = {}) const;
  static at::Tensor view(const at::Tensor& flat, const LearnedSegment& segment);

 private:
  LearnedLayout() = default;
  void add(int linear, const LearnedTensor& tensor);

  std::vector<LearnedSegment> segments_;
  int64_t size_ = 0;
  int64_t small_size_ = 0;
};

}  // namespace bitmill
