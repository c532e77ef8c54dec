#pragma once
// What is learned of one linear: tensors by name. The code that makes a linear declares them
// (method/learned.hpp), and a backend looks up the names that it knows. The code between the two
// need not know what they are.

#include <ATen/core/Tensor.h>

#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitmill {

// Names that the backends know. The names of large tensors are also keys in the run folder.
namespace part {
inline constexpr std::string_view row_scale = "row_scale";    // [rows], alpha
inline constexpr std::string_view row_gain = "row_gain";      // [rows], r1
inline constexpr std::string_view col_gain = "col_gain";      // [low], r2
inline constexpr std::string_view row_mean = "row_mean";      // [rows], mu
inline constexpr std::string_view code_scale = "code_scale";  // [rows], s
// [rows, low], theta: S = +1 where theta >= 0, else -1
inline constexpr std::string_view latents = "latents";
}  // namespace part

using LearnedNames = std::set<std::string, std::less<>>;

class LearnedLinear {
 public:
  LearnedLinear() = default;
  LearnedLinear(std::initializer_list<std::pair<std::string_view, at::Tensor>> values);

  // float32; undefined where nothing of this name is learned.
  at::Tensor operator[](std::string_view name) const;
  void set(std::string_view name, at::Tensor value);

  // Where the backward pass writes the gradient of a tensor that is as large as a weight; it has
  // that tensor's shape. Such a gradient does not go through autograd, which would hold those of
  // all linears a second time. The gradient of latents may be given without the window of learned
  // signs: who steps applies it. Undefined for other tensors, and where no gradient is wanted.
  at::Tensor gradient_place(std::string_view name) const;
  void set_gradient_place(std::string_view name, at::Tensor place);

 private:
  struct Entry {
    std::string name;
    at::Tensor value, gradient_place;
  };
  const Entry* find(std::string_view name) const;
  Entry& entry(std::string_view name);

  std::vector<Entry> entries_;
};

// The learned tensor of this name; `frozen` where there is none.
inline at::Tensor learned_or(const LearnedLinear& learned, std::string_view name,
                             const at::Tensor& frozen) {
  const at::Tensor value = learned[name];
  return value.defined() ? value : frozen;
}

}  // namespace bitmill
