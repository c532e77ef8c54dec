#pragma once
// The model of `generate`, as an evaluation uses it.

#include <string>

#include "eval/whole_model.hpp"
#include "infer/resident_model.hpp"

namespace bitmill {

class ProductForward final : public WholeModel {
 public:
  // Loads all of `source`, which must outlive it.
  ProductForward(Files& files, const SourceModel& source, const ResidentOptions& options,
                 ThreadPool& pool)
      : model_(files, source, options, pool) {}

  at::Tensor forward(std::span<const int32_t> ids, ThreadPool& pool) const override;
  at::Tensor logits(const at::Tensor& x, ThreadPool& pool) const override;

 private:
  ResidentModel model_;
};

}  // namespace bitmill
