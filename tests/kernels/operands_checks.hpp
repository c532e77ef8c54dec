#pragma once
// signs_operand() and codes_operand() against plain loops, on any kind of device.

#include <gtest/gtest.h>

#include <string>

#include "backend/cpu_loops.hpp"
#include "format/packed_layout.hpp"
#include "kernels/column_cases.hpp"
#include "kernels/element_array.hpp"
#include "kernels/operands.hpp"

namespace bitmill {

struct SignsCase {
  kernels::Element element;
  int64_t rows, low, stride;
  std::vector<float> latents;  // [rows, low]

  std::vector<uint32_t> words() const {
    const int64_t per_row = packed::words_for(low, packed::bits_per_word);
    std::vector<uint32_t> words(rows * per_row, 0);
    for (int64_t i = 0; i < rows * low; ++i) {
      if (latents[i] >= 0) packed::set_bit(words.data() + i / low * per_row, i % low);
    }
    return words;
  }
};

struct CodesCase {
  kernels::Element element;
  int64_t rows, salient, stride;
  std::vector<uint8_t> codes;  // [rows, salient]
  std::vector<float> code_zero;

  std::vector<uint32_t> words() const {
    const int64_t per_row = packed::words_for(salient, packed::codes_per_word);
    std::vector<uint32_t> words(rows * per_row, 0);
    for (int64_t i = 0; i < rows * salient; ++i) {
      packed::set_code(words.data() + i / salient * per_row, i % salient, codes[i]);
    }
    return words;
  }
};

// Some latents are 0: their sign is +1.
inline SignsCase make_signs_case(kernels::Element element, int64_t rows, int64_t low) {
  return {element, rows, low, ColumnCase::stride(low, low % 3), exact_numbers(rows * low, 1)};
}

inline CodesCase make_codes_case(kernels::Element element, int64_t rows, int64_t salient) {
  CodesCase made{element, rows, salient, ColumnCase::stride(salient, salient % 3), {}, {}};
  for (const float number : exact_numbers(rows * salient, 2)) {
    made.codes.push_back(static_cast<uint8_t>(static_cast<int>(number * 8 + 24) % 16));
  }
  for (const float number : exact_numbers(rows, 3)) {
    made.code_zero.push_back(static_cast<float>(static_cast<int>(number * 8 + 24) % 16));
  }
  return made;
}

template <template <typename> class Array>
std::vector<float> signs_on_device(const SignsCase& problem, bool from_words) {
  const Array<float> latents(problem.latents);
  const Array<uint32_t> words(problem.words());
  const ElementArray<Array> out(problem.element, problem.rows * problem.stride);
  const kernels::SignsOperand task{from_words ? nullptr : latents.data(),
                                   from_words ? words.data() : nullptr,
                                   out.data(),
                                   problem.rows,
                                   problem.low,
                                   problem.stride,
                                   problem.element};
  EXPECT_EQ(kernels::signs_operand(task, nullptr), kernels::cudaSuccess);
  return out.to_host();
}

template <template <typename> class Array>
std::vector<float> codes_on_device(const CodesCase& problem) {
  const Array<uint32_t> words(problem.words());
  const Array<float> zero(problem.code_zero);
  const ElementArray<Array> out(problem.element, problem.rows * problem.stride);
  const kernels::CodesOperand task{words.data(),    zero.data(),    out.data(),     problem.rows,
                                   problem.salient, problem.stride, problem.element};
  EXPECT_EQ(kernels::codes_operand(task, nullptr), kernels::cudaSuccess);
  return out.to_host();
}

template <template <typename> class Array>
void check_signs_operand(const SignsCase& problem) {
  std::vector<float> want(problem.rows * problem.stride);
  cpu_loops::take_signs(problem.latents.data(), problem.rows, problem.low, problem.stride,
                        want.data());
  for (const bool from_words : {false, true}) {
    EXPECT_EQ(first_difference(signs_on_device<Array>(problem, from_words), want), "")
        << problem.rows << " x " << problem.low << (from_words ? ", from words" : "");
  }
}

template <template <typename> class Array>
void check_codes_operand(const CodesCase& problem) {
  std::vector<float> want(problem.rows * problem.stride, 0);
  for (int64_t i = 0; i < problem.rows * problem.salient; ++i) {
    const int64_t row = i / problem.salient;
    want[row * problem.stride + i % problem.salient] =
        static_cast<float>(problem.codes[i]) - problem.code_zero[row];
  }
  EXPECT_EQ(first_difference(codes_on_device<Array>(problem), want), "")
      << problem.rows << " x " << problem.salient;
}

// Around words, sectors, the tile of signs (1,024 columns) and of codes (256 at a time).
template <template <typename> class Array>
void check_all_of_operands() {
  using enum kernels::Element;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const int64_t columns : {0, 1, 7, 8, 31, 33, 97, 255, 257, 1023, 1024, 1025, 2053}) {
      for (const int64_t rows : {0, 1, 3, 9}) {
        check_signs_operand<Array>(make_signs_case(element, rows, columns));
        check_codes_operand<Array>(make_codes_case(element, rows, columns));
      }
    }
  }
}

}  // namespace bitmill
