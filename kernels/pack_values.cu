#include "kernels/pack_values.hpp"

#include "kernels/word_rows.hpp"

namespace bitmill::kernels {
namespace {

// Tiles: latents, a warp packs 1,024 columns of a row; codes, a warp packs a row. Bound by reading
// what is packed. Both are moved as whole sectors.
constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int latents_per_warp = 32 * packed::bits_per_word;

__global__ void __launch_bounds__(threads)
    pack_latents_kernel(PackLatents task, int64_t tiles_across) {
  const int64_t tile = int64_t{blockIdx.x} * warps + threadIdx.x / 32;
  const int64_t row = tile / tiles_across, first = tile % tiles_across * latents_per_warp;
  if (row >= task.rows) return;
  const int64_t left = task.low - first;
  const int columns = left < latents_per_warp ? static_cast<int>(left) : latents_per_warp;
  const uint32_t bits = sign_bits(task.latents, row * task.low + first, columns);
  const int64_t word = first / packed::bits_per_word + threadIdx.x % 32;
  const int64_t words = packed::words_for(task.low, packed::bits_per_word);
  if (word < words) task.words[row * words + word] = bits;
}

// Codes 8 word .. 8 word + 7 of a row as nibbles; those from `salient` on are 0.
__device__ uint32_t pack_word(const uint8_t* codes, int word, int salient) {
  const int first = word * packed::codes_per_word;
  if (first >= salient) return 0;
  const uint64_t bytes = *reinterpret_cast<const uint64_t*>(codes + first);
  uint32_t nibbles = 0;
#pragma unroll
  for (int i = 0; i < packed::codes_per_word; ++i) {
    const auto code = static_cast<uint32_t>(bytes >> (8 * i)) & 15U;
    if (first + i < salient) packed::set_code(&nibbles, i, code);
  }
  return nibbles;
}

__global__ void __launch_bounds__(threads) pack_codes_kernel(PackCodes task) {
  const int64_t row = int64_t{blockIdx.x} * warps + threadIdx.x / 32;
  if (row >= task.rows) return;
  const int lane = static_cast<int>(threadIdx.x % 32), salient = static_cast<int>(task.salient);
  const int words = static_cast<int>(packed::words_for(salient, packed::codes_per_word));
  const uint8_t* const codes = task.codes + row * task.stride;
  uint32_t* const out = task.words + row * words;
  const int phase = static_cast<int>(row * words % numbers_per_sector);
  uint32_t before = 0;
  for (int begin = 0; begin < words + phase; begin += 32) {
    const uint32_t here = pack_word(codes, begin + lane, salient);
    const uint32_t word = words_behind(before, here, phase);
    before = here;
    const int place = begin + lane - phase;
    if (place >= 0 && place < words) out[place] = word;
  }
}

}  // namespace

cudaError_t pack_latents(const PackLatents& task, cudaStream_t stream) {
  if (task.rows < 0 || task.low < 0) return cudaErrorInvalidValue;
  if (task.rows * task.low == 0) return cudaSuccess;
  const int64_t across = packed::words_for(task.low, latents_per_warp);
  const int64_t blocks = packed::words_for(task.rows * across, warps);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  return launch(pack_latents_kernel, {{static_cast<unsigned>(blocks)}, {threads}}, stream, task,
                across);
}

cudaError_t pack_codes(const PackCodes& task, cudaStream_t stream) {
  if (task.rows < 0 || task.salient < 0 || task.stride < task.salient || task.stride % 32 != 0 ||
      task.stride > INT32_MAX) {
    return cudaErrorInvalidValue;
  }
  if (task.rows * task.salient == 0) return cudaSuccess;
  const int64_t blocks = packed::words_for(task.rows, warps);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  return launch(pack_codes_kernel, {{static_cast<unsigned>(blocks)}, {threads}}, stream, task);
}

}  // namespace bitmill::kernels
