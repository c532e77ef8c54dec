#pragma once
// A model that somebody else holds in memory as a whole and runs forward in a way of its own: the
// evaluation of what `generate` computes. Without one, a model is computed in float32, one block at
// a time, from its folder.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "base/thread_pool.hpp"
#include "model/source_model.hpp"

namespace bitmill {

// Both functions may be called from several threads at once, and from tasks of `pool`. The numbers
// of a text depend on that text only.
class WholeModel {
 public:
  virtual ~WholeModel() = default;

  // The last block's outputs [ids, hidden] float32 of a text that begins with ids[0].
  virtual at::Tensor forward(std::span<const int32_t> ids, ThreadPool& pool) const = 0;
  // Next-token logits [T, vocab] float32 of outputs [T, hidden].
  virtual at::Tensor logits(const at::Tensor& x, ThreadPool& pool) const = 0;
};

// What is evaluated: a folder, and how it is computed. Both must outlive it.
struct EvalModel {
  // Not explicit: a folder alone is the usual case.
  EvalModel(const SourceModel& folder_, const WholeModel* whole_ = nullptr)
      : folder(folder_), whole(whole_) {}

  const SourceModel& folder;
  const WholeModel* whole;  // null: block by block
};

}  // namespace bitmill
