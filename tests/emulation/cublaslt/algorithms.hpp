#pragma once
// The algorithms of a product. They differ in the order of the sum over k, as real ones do: results
// of two algorithms differ in the last bits, so a program that promises the same bytes must fix
// one.

#include <cublasLt.h>

#include <cstdint>
#include <vector>

namespace bitmill::fake_cuda {

// Without gaps, so that its bytes may be kept and compared, as the documentation allows.
struct Algorithm {
  int64_t chunk;  // terms that are added before they are added to the sum
  int32_t id;
  int32_t tile;    // cublasLtMatmulTile_t
  int32_t stages;  // cublasLtMatmulStages_t
  int32_t split_k = 1;
  uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
  uint32_t zero = 0;
};
static_assert(sizeof(Algorithm) == 32);

// From the one that the heuristic prefers on. Every second one splits k and needs a workspace.
// BITMILL_EMULATION_CUBLASLT_PREFERS=1:6 puts those with the id 6 first on device 1.
std::vector<Algorithm> algorithms_for(uint64_t m, uint64_t n, uint64_t k, int device);

// Bytes of workspace for an m x n result: the partial sums of the splits.
uint64_t workspace_of(const Algorithm& algorithm, uint64_t m, uint64_t n, int32_t batch);

bool is_known(const Algorithm& algorithm);

}  // namespace bitmill::fake_cuda
