#pragma once
// The algorithms of a product. They differ in the order of the sum over k, as real ones do: results
// of two algorithms differ in the last bits, so a program that promises the same bytes must fix
// one.

#include <cublasLt.h>

#include <cstdint>
#include <vector>

namespace bitmill::fake_cuda {

struct Algorithm {
  int32_t id;
  int32_t tile;    // cublasLtMatmulTile_t
  int32_t stages;  // cublasLtMatmulStages_t
  int64_t chunk;   // terms that are added before they are added to the sum
  int32_t split_k = 1;
  uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
};

// From the one that the heuristic prefers on. Every second one splits k and needs a workspace.
std::vector<Algorithm> algorithms_for(uint64_t m, uint64_t n, uint64_t k);

// Bytes of workspace for an m x n result: the partial sums of the splits.
uint64_t workspace_of(const Algorithm& algorithm, uint64_t m, uint64_t n, int32_t batch);

bool is_known(const Algorithm& algorithm);

}  // namespace bitmill::fake_cuda
