#pragma once
// pack_latents() and pack_codes() against plain loops, on any kind of device, and the way back.

#include <gtest/gtest.h>

#include "kernels/operands_checks.hpp"
#include "kernels/pack_values.hpp"

namespace bitmill {

// A word that the kernel does not write stays all ones.
template <template <typename> class Array>
std::vector<uint32_t> pack_latents_on_device(const SignsCase& problem) {
  const Array<float> latents(problem.latents);
  const Array<uint32_t> words(std::vector<uint32_t>(problem.words().size(), ~0U));
  const kernels::PackLatents task{latents.data(), words.data(), problem.rows, problem.low};
  EXPECT_EQ(kernels::pack_latents(task, nullptr), kernels::cudaSuccess);
  return words.to_host();
}

// What lies behind a row's codes is no code.
template <template <typename> class Array>
std::vector<uint32_t> pack_codes_on_device(const CodesCase& problem) {
  const int64_t stride = (problem.salient + 31) / 32 * 32;
  std::vector<uint8_t> padded(problem.rows * stride, 0xAB);
  for (int64_t i = 0; i < problem.rows * problem.salient; ++i) {
    padded[i / problem.salient * stride + i % problem.salient] = problem.codes[i];
  }
  const Array<uint8_t> codes(padded);
  const Array<uint32_t> words(std::vector<uint32_t>(problem.words().size(), ~0U));
  const kernels::PackCodes task{codes.data(), words.data(), problem.rows, problem.salient, stride};
  EXPECT_EQ(kernels::pack_codes(task, nullptr), kernels::cudaSuccess);
  return words.to_host();
}

// Around words, sectors, the tile of latents (1,024 columns) and of codes (256 at a time).
template <template <typename> class Array>
void check_all_of_pack_values() {
  using enum kernels::Element;
  for (const int64_t columns : {0, 1, 7, 8, 9, 31, 33, 97, 255, 257, 1023, 1024, 1025, 2053}) {
    for (const int64_t rows : {0, 1, 3, 9}) {
      const SignsCase signs = make_signs_case(float32, rows, columns);
      EXPECT_EQ(pack_latents_on_device<Array>(signs), signs.words()) << rows << " x " << columns;
      const CodesCase codes = make_codes_case(float32, rows, columns);
      EXPECT_EQ(pack_codes_on_device<Array>(codes), codes.words()) << rows << " x " << columns;
    }
  }
}

}  // namespace bitmill
