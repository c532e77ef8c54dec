#pragma once
// A few tokens of a product's input, in the form that the kernels take.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "kernels/cpu/kernel.hpp"
#include "product/input_table.hpp"
#include "product/product.hpp"

namespace bitmill {

// What a product knows of its input. It must outlive the inputs that are made with it.
struct InputMaker {
  const InputTable& table;
  const CpuKernel& kernel;
  const std::string& name;  // of the weight, for errors
  int64_t cols;
};

// Tokens rounded to whole numbers: value = round(x / scale), scale = largest |x| / 127 for int8 and
// / 32639 for int16 (two digits of a byte), one scale for low and one for salient columns.
//
// int8, salient columns: where a few of a token are much larger than the rest (README.md), these
// columns have two digits, for this token.
class DigitTokens {
 public:
  // x: [tokens, cols]. NumericError when a number is not finite.
  DigitTokens(const InputMaker& maker, Activations activations, std::span<const float> x,
              int64_t tokens, ThreadPool& pool);
  // Refers to this object.
  kernels::cpu::DigitInput view() const;

 private:
  void round_token(const InputMaker& maker, const float* x, int64_t token);
  void round_salient_finely(const InputMaker& maker, std::span<const float> salient, float largest,
                            int64_t token);

  int64_t tokens_;
  int digits_;
  int64_t high_salient_;  // as in DigitInput; 0: tokens have no such places
  int64_t stride_;
  std::vector<int8_t> values_;                     // [tokens, digits, stride]
  std::vector<kernels::cpu::DigitSums> sums_;      // [tokens, digits]
  std::vector<kernels::cpu::TokenScales> scales_;  // [tokens]
  std::vector<uint8_t> has_high_;                  // [tokens], 1: a second digit is used
};

// Tokens as floats. What is not finite is passed on.
class FloatTokens {
 public:
  FloatTokens(const InputMaker& maker, std::span<const float> x, int64_t tokens, ThreadPool& pool);
  kernels::cpu::FloatInput view() const;

 private:
  int64_t tokens_;
  int64_t stride_;
  std::vector<float> values_;  // [tokens, stride]
  std::vector<float> sums_;    // [tokens]
};

}  // namespace bitmill
