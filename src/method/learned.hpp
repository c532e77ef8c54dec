#pragma once
// What is learned of a block, as one flat float32 tensor cut into named segments. Whoever makes a
// linear declares what is learned of it (learned_of() in grid.hpp, TunedBlock), and the backend
// finds it by name. The loop, the sums over samples and ranks, the optimiser and the saved state
// know the list of segments and nothing of what they mean.

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
  // As large as a weight: the backward pass writes its gradient where LearnedLinear says, and its
  // state is saved linear by linear, under its name.
  bool large = false;
  at::Tensor first = {};  // float32, its first values; undefined where it begins at 1

  int64_t size() const;
};

// Of one linear, in the order of the flat tensor; names differ.
using LearnedTensors = std::vector<LearnedTensor>;

// One of them within the flat tensor.
struct LearnedSegment {
  int linear = 0;  // index among the quantized linears of the block
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // elements, a multiple of 16
  int64_t size = 0;
  double rate = 0;
  bool large = false;
};

class LearnedLayout {
 public:
  // Linear by linear what is not large; behind those of all linears what is.
  explicit LearnedLayout(std::span<const LearnedTensors> linears);
  // Of several blocks together, one behind the other. REQUIRES: nothing large.
  explicit LearnedLayout(std::span<const LearnedLayout* const> blocks);

  const std::vector<LearnedSegment>& segments() const { return segments_; }
  int64_t size() const { return size_; }              // elements, gaps included
  int64_t small_size() const { return small_size_; }  // those before what is large
  bool has_large() const { return small_size_ < size_; }
  LearnedNames names(int linear) const;

  // [size()], as `linears` begin. They are the ones that the layout was made of.
  at::Tensor initial_values(std::span<const LearnedTensors> linears) const;
  // Makes 0 of all elements of `flat` but those of large segments, which stay as they are.
  void clear_small(const at::Tensor& flat) const;

  // Tensors over the memory of `flat` [size()], per linear; no copy. `flat` must outlive them. With
  // a `gradient` [size()], large ones have their place in it.
  std::vector<LearnedLinear> views(const at::Tensor& flat, const at::Tensor& gradient = {}) const;
  static at::Tensor view(const at::Tensor& flat, const LearnedSegment& segment);

 private:
  void add(int linear, const LearnedTensor& tensor);

  std::vector<LearnedSegment> segments_;
  int64_t size_ = 0;
  int64_t small_size_ = 0;
};

}  // namespace bitmill
