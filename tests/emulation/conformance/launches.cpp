// Launches of kernels, what their faults do to a device, and the instructions of kernels/tile.hpp.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/child.hpp"
#include "emulation/conformance/kernels.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {
namespace {

template <typename T>
void put(const DeviceMemory<T>& memory, const std::vector<T>& values) {
  MUST(cudaMemcpy(memory.get(), values.data(), memory.bytes(), cudaMemcpyHostToDevice));
  MUST(cudaStreamSynchronize(nullptr));
}

std::vector<uint32_t> scattered(size_t count, uint32_t seed) {
  std::vector<uint32_t> words(count);
  for (uint32_t& word : words) {
    seed = seed * 1664525U + 1013904223U;
    word = seed ^ (seed >> 15);
  }
  return words;
}

// Small integers, so that every sum is exact in any order; each row and column another.
std::vector<float> small_numbers(size_t count, size_t width) {
  std::vector<float> numbers(count);
  for (size_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<float>((i % width * 5 + i / width * 3) % 13) - 6.0F;
  }
  return numbers;
}

uint16_t bits_of(__nv_bfloat16 value) { return std::bit_cast<__nv_bfloat16_raw>(value).x; }
uint16_t bits_of(__half value) { return std::bit_cast<__half_raw>(value).x; }

template <typename Half>
std::vector<uint16_t> as_halves(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (const float value : values) halves.push_back(bits_of(Half(value)));
  return halves;
}

template <typename Half, typename Multiply>
void expect_product_of_halves(Multiply multiply) {
  const std::vector<float> rows = small_numbers(16 * 16, 16), columns = small_numbers(8 * 16, 16);
  const DeviceMemory<uint16_t> a(16 * 16), b(8 * 16);
  const DeviceMemory<float> d(16 * 8, 100.0F);
  put(a, as_halves<Half>(rows));
  put(b, as_halves<Half>(columns));
  MUST(multiply(a.get(), b.get(), d.get(), nullptr));
  const std::vector<float> values = d.values();
  int differences = 0;
  for (size_t row = 0; row < 16; ++row) {
    for (size_t col = 0; col < 8; ++col) {
      float sum = 100.0F;
      for (size_t k = 0; k < 16; ++k) sum += rows[row * 16 + k] * columns[col * 16 + k];
      differences += values[row * 8 + col] == sum ? 0 : 1;
    }
  }
  EXPECT_SAME(differences, 0);
}

template <typename Multiply, typename Combine>
void expect_product_of_bits(Multiply multiply, Combine combine) {
  const std::vector<uint32_t> rows = scattered(16 * 8, 1), columns = scattered(8 * 8, 2);
  const DeviceMemory<uint32_t> a(16 * 8), b(8 * 8);
  const DeviceMemory<int> d(16 * 8, 1000);
  put(a, rows);
  put(b, columns);
  MUST(multiply(a.get(), b.get(), d.get(), nullptr));
  const std::vector<int> values = d.values();
  int differences = 0;
  for (size_t row = 0; row < 16; ++row) {
    for (size_t col = 0; col < 8; ++col) {
      int sum = 1000;
      for (size_t k = 0; k < 8; ++k) {
        sum += std::popcount(combine(rows[row * 8 + k], columns[col * 8 + k]));
      }
      differences += values[row * 8 + col] == sum ? 0 : 1;
    }
  }
  EXPECT_SAME(differences, 0);
}

}  // namespace

CONFORMS(launches, "A kernel runs in its stream's order") {
  const Stream stream;
  const DeviceMemory<int> memory(1, 0);
  Gate gate(stream);
  MUST(cudaMemsetAsync(memory.get(), 1, sizeof(int), stream));
  EXPECT_SAME(write_value(memory.get(), 42, stream), cudaSuccess);
  EXPECT_SAME(cudaStreamQuery(stream), cudaErrorNotReady);
  gate.open();
  MUST(cudaStreamSynchronize(stream));
  EXPECT_SAME(memory.values()[0], 42);
}

CONFORMS(launches, "A launch that asks for too much is refused, and the next one is not") {
  const DeviceMemory<int> counts(4, 0);
  EXPECT_SAME(count_blocks(counts.get(), 4, 1025, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_SAME(count_blocks(counts.get(), 0, 32, nullptr), cudaErrorInvalidConfiguration);
  (void)cudaGetLastError();
  EXPECT_SAME(count_blocks(counts.get(), 4, 1024, nullptr), cudaSuccess);
  EXPECT_SAME(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_SAME(counts.values()[3], 1);
}

CONFORMS(launches, "A kernel in a graph runs at each launch of the graph") {
  const Stream stream;
  const DeviceMemory<int> counts(4, 0);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  EXPECT_SAME(count_blocks(counts.get(), 4, 32, stream), cudaSuccess);
  MUST(cudaStreamEndCapture(stream, &graph));
  MUST(cudaGraphInstantiate(&executable, graph, 0));
  for (int round = 0; round < 3; ++round) MUST(cudaGraphLaunch(executable, stream));
  MUST(cudaStreamSynchronize(stream));
  MUST(cudaGraphExecDestroy(executable));
  MUST(cudaGraphDestroy(graph));
  EXPECT_SAME(counts.values()[3], 3);
}

CONFORMANCE_CHILD(fault) {
  const Stream stream;
  const DeviceMemory<int> memory(1, 0);
  EXPECT_SAME(write_value(nullptr, 1, stream), cudaSuccess);  // the launch alone is right
  EXPECT_SAME(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  void* more = nullptr;
  EXPECT_SAME(cudaMalloc(&more, 16), cudaErrorIllegalAddress);
  EXPECT_SAME(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_SAME(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_SAME(cudaMemsetAsync(memory.get(), 0, 4, stream), cudaErrorIllegalAddress);
  EXPECT_SAME(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_SAME(write_value(memory.get(), 1, stream), cudaErrorIllegalAddress);
}

CONFORMS(launches, "A kernel's fault stays: every later call on the device returns it") {
  EXPECT_SAME(status_of_child("fault"), 0);
}

CONFORMS(tiles, "mma_bf16: fragments lie as tile.hpp says") {
  expect_product_of_halves<__nv_bfloat16>(multiply_bf16);
}
CONFORMS(tiles, "mma_f16: fragments lie as tile.hpp says") {
  expect_product_of_halves<__half>(multiply_f16);
}
CONFORMS(tiles, "mma_b1_and: fragments lie as tile.hpp says") {
  expect_product_of_bits(multiply_and, [](uint32_t x, uint32_t y) { return x & y; });
}
CONFORMS(tiles, "mma_b1_xor: fragments lie as tile.hpp says") {
  expect_product_of_bits(multiply_xor, [](uint32_t x, uint32_t y) { return x ^ y; });
}

CONFORMS(tiles, "dot_bytes adds four products of signed bytes") {
  const std::vector<uint32_t> words = scattered(96, 3);
  std::vector<int> x, y, z, wanted;
  for (size_t i = 0; i < 32; ++i) {
    x.push_back(static_cast<int>(words[i]));
    y.push_back(static_cast<int>(words[32 + i]));
    z.push_back(static_cast<int>(words[64 + i] % 1000));
    int sum = z.back();
    for (int byte = 0; byte < 4; ++byte) {
      sum += static_cast<int8_t>(words[i] >> (8 * byte)) *
             static_cast<int8_t>(words[32 + i] >> (8 * byte));
    }
    wanted.push_back(sum);
  }
  const DeviceMemory<int> a(32), b(32), c(32), out(32);
  put(a, x);
  put(b, y);
  put(c, z);
  MUST(dot_of_bytes(a.get(), b.get(), c.get(), out.get(), nullptr));
  EXPECT(out.values() == wanted);
}

CONFORMS(tiles, "Late copies have arrived behind their wait and a barrier") {
  const std::vector<uint32_t> words = scattered(64, 4);
  const DeviceMemory<uint32_t> in(64), out(64);
  put(in, words);
  MUST(reverse_through_shared(in.get(), out.get(), nullptr));
  const std::vector<uint32_t> wanted(words.rbegin(), words.rend());
  EXPECT(out.values() == wanted);
}

CONFORMS(tiles, "Shuffles and votes of a warp") {
  std::vector<int> values;
  for (int lane = 0; lane < 32; ++lane) values.push_back(lane * lane + lane / 3);
  const DeviceMemory<int> in(32), from(32), across(32), up(32), down(32);
  const DeviceMemory<unsigned> odd(1, 0U);
  put(in, values);
  MUST(shuffle(in.get(), from.get(), across.get(), up.get(), down.get(), nullptr));
  MUST(vote(in.get(), odd.get(), nullptr));
  const auto from_all = from.values(), across_all = across.values(), up_all = up.values(),
             down_all = down.values();
  unsigned wanted_odd = 0;
  for (size_t lane = 0; lane < 32; ++lane) {
    EXPECT_SAME(from_all[lane], values[3]);
    EXPECT_SAME(across_all[lane], values[lane ^ 1]);
    EXPECT_SAME(up_all[lane], values[lane < 2 ? lane : lane - 2]);
    EXPECT_SAME(down_all[lane], values[lane > 29 ? lane : lane + 2]);
    wanted_odd |= values[lane] % 2 != 0 ? 1U << lane : 0U;
  }
  EXPECT_SAME(odd.values()[0], wanted_odd);
}

}  // namespace conformance
