#pragma once
// A linear with learned values that no backend of ours has: a divisor for each row, and an offset
// for each weight, a tensor as large as W. y = x (W + offset)^T / divisor, W = signs / 4.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include "backend/backend.hpp"
#include "method/learned.hpp"

namespace bitmill::test {

struct AddOffset : torch::autograd::Function<AddOffset> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& weight,
                            const at::Tensor& offset, const at::Tensor& place) {
    context->saved_data["place"] = place;
    return weight + offset;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    context->saved_data["place"].toTensor().copy_(gradients[0]);
    return {at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class MadeUpLinear final : public StudentLinear {
 public:
  explicit MadeUpLinear(const FrozenLinear& frozen) : weight_(frozen.signs.to(at::kFloat) / 4) {}

  void begin_step(const LearnedLinear& /*learned*/) override {}
  at::Tensor forward(const at::Tensor& x, const LearnedLinear& learned) const override {
    const at::Tensor weight =
        AddOffset::apply(weight_, learned["offset"], learned.gradient_place("offset"));
    return at::mm(x, weight.t()) / learned["divisor"];
  }

 private:
  const at::Tensor weight_;  // [rows, cols]
};

class MadeUpBackend final : public Backend {
 public:
  std::string_view name() const override { return "made up"; }
  std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen, const LearnedNames& learned,
                                         ThreadPool& /*pool*/) const override {
    EXPECT_EQ(learned, (LearnedNames{"divisor", "offset"}));
    return std::make_unique<MadeUpLinear>(frozen);
  }
};

// The learned tensors of a MadeUpLinear.
inline LearnedTensors learned_of_made_up(int64_t rows, int64_t cols) {
  return {{"divisor", {rows}, 1e-2, false, at::rand({rows}) + 1},
          {"offset", {rows, cols}, 1e-3, true, at::randn({rows, cols}) * 0.1}};
}

}  // namespace bitmill::test
