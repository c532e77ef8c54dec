#pragma once
// tile_probe.hpp against plain loops, for any kind of device: Array<T> is made from a vector, and
// has data() and to_host(). Every sum here is exact in float32, in whichever order.

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/tile_probe.hpp"

namespace bitmill::probe {

// Different for every (a, b), and small.
inline int small_number(int a, int b) { return (a * 5 + b * 3 + a * b) % 13 - 6; }

// The bits of a small whole number.
inline uint32_t half_bits(Product product, int value) {
  if (product == Product::bf16) return std::bit_cast<uint32_t>(static_cast<float>(value)) >> 16;
  const uint32_t sign = value < 0 ? 0x8000U : 0;
  const uint32_t size = static_cast<uint32_t>(value < 0 ? -value : value);
  if (size == 0) return sign;
  const auto top = static_cast<uint32_t>(std::bit_width(size) - 1);
  return sign | (top + 15) << 10 | ((size << (10 - top)) & 1023U);
}

inline void expect_success(kernels::cudaError_t error) { EXPECT_EQ(error, kernels::cudaSuccess); }

template <template <typename> class Array>
void check_halves(Product product) {
  std::vector<uint32_t> a(16 * 8), b(8 * 8);
  std::vector<float> d(16 * 8), want(16 * 8);
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      a[row * 8 + k / 2] |= half_bits(product, small_number(row, k)) << (k % 2 * 16);
    }
  }
  for (int column = 0; column < 8; ++column) {
    for (int k = 0; k < 16; ++k) {
      b[column * 8 + k / 2] |= half_bits(product, small_number(k, column + 40)) << (k % 2 * 16);
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      int sum = row * 100 + column;
      d[row * 8 + column] = static_cast<float>(sum);
      for (int k = 0; k < 16; ++k) sum += small_number(row, k) * small_number(k, column + 40);
      want[row * 8 + column] = static_cast<float>(sum);
    }
  }
  const Array<uint32_t> a_there(a), b_there(b);
  const Array<float> d_there(d);
  expect_success(multiply(product, a_there.data(), b_there.data(), d_there.data(), nullptr));
  EXPECT_EQ(d_there.to_host(), want);
}

template <template <typename> class Array>
void check_bits(Product product) {
  std::vector<uint32_t> a(16 * 8), b(8 * 8);
  std::vector<int32_t> d(16 * 8), want(16 * 8);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<uint32_t>(i + 1) * 2654435761U;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<uint32_t>(i + 7) * 2246822519U;
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      int sum = row * 1000 + column;
      d[row * 8 + column] = sum;
      for (int part = 0; part < 8; ++part) {
        const uint32_t left = a[row * 8 + part], right = b[column * 8 + part];
        sum += std::popcount(product == Product::b1_and ? left & right : left ^ right);
      }
      want[row * 8 + column] = sum;
    }
  }
  const Array<uint32_t> a_there(a), b_there(b);
  const Array<int32_t> d_there(d);
  expect_success(multiply(product, a_there.data(), b_there.data(), d_there.data(), nullptr));
  EXPECT_EQ(d_there.to_host(), want);
}

template <template <typename> class Array>
void check_dot_bytes() {
  std::vector<int32_t> a, b, sum, want;
  for (int i = 0; i < 100; ++i) {
    a.push_back(static_cast<int32_t>(static_cast<uint32_t>(i + 1) * 2654435761U));
    b.push_back(static_cast<int32_t>(static_cast<uint32_t>(i + 3) * 2246822519U));
    sum.push_back(i - 50);
    want.push_back(i - 50);
    for (int shift = 0; shift < 32; shift += 8) {
      want[i] += static_cast<int8_t>(a[i] >> shift) * static_cast<int8_t>(b[i] >> shift);
    }
  }
  const Array<int32_t> a_there(a), b_there(b), sum_there(sum);
  expect_success(dot_bytes(a_there.data(), b_there.data(), sum_there.data(), 100, nullptr));
  EXPECT_EQ(sum_there.to_host(), want);
}

template <template <typename> class Array>
void check_late_copies() {
  for (const int copy_bytes : {4, 16}) {
    for (const int steps : {1, 2, 3, 7}) {
      std::vector<float> x, want(128, 0);
      for (int i = 0; i < steps * 128; ++i) {
        x.push_back(static_cast<float>(small_number(i / 128, i % 128)));
        want[i % 128] += x.back();
      }
      const Array<float> x_there(x), sum(std::vector<float>(128, -1));
      expect_success(sum_rows_copied_late(x_there.data(), sum.data(), steps, copy_bytes, nullptr));
      EXPECT_EQ(sum.to_host(), want) << steps << " rows, " << copy_bytes << " bytes at a time";
    }
  }
}

template <template <typename> class Array>
void check_16_bytes() {
  std::vector<uint32_t> from;
  for (uint32_t i = 0; i < 4 * 50; ++i) from.push_back(i * 3 + 1);
  const Array<uint32_t> from_there(from), to(std::vector<uint32_t>(4 * 50));
  expect_success(reverse_by_16(from_there.data(), to.data(), 50, nullptr));
  EXPECT_EQ(to.to_host(), std::vector<uint32_t>(from.rbegin(), from.rend()));
}

// Ties, a carry into the exponent, infinity by rounding, a subnormal number, NaN of any bits.
template <template <typename> class Array>
void check_rounding() {
  const std::vector<uint32_t> bits{0x3F808000, 0x3F818000, 0x3F808001, 0x3F7FFFFF,
                                   0x7F7FFFFF, 0x80000001, 0xFF800001, 0xBF800000};
  std::vector<float> from;
  for (const uint32_t one : bits) from.push_back(std::bit_cast<float>(one));
  const Array<float> from_there(from);
  const Array<uint32_t> to(std::vector<uint32_t>(4));
  expect_success(round_pairs(from_there.data(), to.data(), 4, nullptr));
  EXPECT_EQ(to.to_host(), (std::vector<uint32_t>{0x3F823F80, 0x3F803F81, 0x80007F80, 0xBF807FFF}));
}

// CUDA C++ Programming Guide, "Warp Shuffle Functions": lanes of a segment of `width`. Outside it
// a lane keeps its value, but an index wraps, and xor reaches the segments below.
template <template <typename> class Array>
void check_collectives() {
  for (const int width : {2, 8, 32}) {
    for (const int operand : {0, 1, 3, 5, 17}) {
      const Array<int32_t> out(std::vector<int32_t>(6 * 32, -1));
      expect_success(collectives(out.data(), operand, width, nullptr));
      const std::vector<int32_t> got = out.to_host();
      for (int lane = 0; lane < 32; ++lane) {
        const int place = lane % width, first = lane - place, other = lane ^ operand;
        int32_t same = 0;
        for (int i = lane % 3; i < 32; i += 3) same |= static_cast<int32_t>(1U << i);
        const std::vector<int32_t> want{first + operand % width,
                                        place < operand ? lane : lane - operand,
                                        place + operand >= width ? lane : lane + operand,
                                        other >= first + width ? lane : other,
                                        static_cast<int32_t>((1U << operand) - 1),
                                        same};
        std::vector<int32_t> mine;
        for (int kind = 0; kind < 6; ++kind) mine.push_back(got[kind * 32 + lane]);
        EXPECT_EQ(mine, want) << "lane " << lane << ", " << operand << " in " << width;
      }
    }
  }
}

}  // namespace bitmill::probe
