#include "emulation/cublaslt/algorithms.hpp"

#include <algorithm>

namespace bitmill::fake_cuda {
namespace {

constexpr Algorithm plain[] = {
    {66, CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_MATMUL_STAGES_64x3, 64},
    {21, CUBLASLT_MATMUL_TILE_64x64, CUBLASLT_MATMUL_STAGES_32x3, 32},
    {6, CUBLASLT_MATMUL_TILE_32x32, CUBLASLT_MATMUL_STAGES_16x3, 16},
};

}  // namespace

std::vector<Algorithm> algorithms_for(uint64_t m, uint64_t n, uint64_t k) {
  std::vector<Algorithm> all;
  for (const Algorithm& one : plain) {
    all.push_back(one);
    Algorithm split = one;
    split.split_k = 4;
    split.reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    if (k >= 64) all.push_back(split);
  }
  // Small results leave multiprocessors idle: there the heuristic prefers to split k.
  if (m * n <= 64 * 64 && all.size() > 3) std::swap(all[0], all[1]);
  return all;
}

uint64_t workspace_of(const Algorithm& algorithm, uint64_t m, uint64_t n, int32_t batch) {
  if (algorithm.split_k == 1) return 0;
  return m * n * sizeof(float) * static_cast<uint64_t>(algorithm.split_k) *
         static_cast<uint64_t>(batch);
}

bool is_known(const Algorithm& algorithm) {
  return std::any_of(std::begin(plain), std::end(plain), [&](const Algorithm& one) {
    return one.id == algorithm.id && one.chunk == algorithm.chunk;
  });
}

}  // namespace bitmill::fake_cuda
