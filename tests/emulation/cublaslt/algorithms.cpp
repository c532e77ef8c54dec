#include "emulation/cublaslt/algorithms.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace bitmill::fake_cuda {
namespace {

constexpr Algorithm plain[] = {
    {64, 66, CUBLASLT_MATMUL_TILE_128x128, CUBLASLT_MATMUL_STAGES_64x3},
    {32, 21, CUBLASLT_MATMUL_TILE_64x64, CUBLASLT_MATMUL_STAGES_32x3},
    {16, 6, CUBLASLT_MATMUL_TILE_32x32, CUBLASLT_MATMUL_STAGES_16x3},
};

// Returns 0 where no algorithm is preferred on this device.
int preferred_id(int device) {
  const char* const text = std::getenv("BITMILL_EMULATION_CUBLASLT_PREFERS");
  int where = 0, id = 0;
  if (text == nullptr || *text == '\0') return 0;
  if (std::sscanf(text, "%d:%d", &where, &id) != 2) {
    std::fprintf(stderr,
                 "emulation: BITMILL_EMULATION_CUBLASLT_PREFERS=%s is not understood; it wants "
                 "device:algorithm, as in 1:6\n",
                 text);
    std::_Exit(2);
  }
  return where == device ? id : 0;
}

}  // namespace

std::vector<Algorithm> algorithms_for(uint64_t m, uint64_t n, uint64_t k, int device) {
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
  const int preferred = preferred_id(device);
  std::ranges::stable_partition(all, [&](const Algorithm& one) { return one.id == preferred; });
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
