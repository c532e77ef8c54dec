#pragma once
// What a GPU holds while a block is worked on, counted from shapes before anything is there. The
// count follows the code that makes and frees the tensors (StudentBlock, dense_block_forward() and
// what they call, on a GPU), tensor by tensor, each rounded up as libtorch's caching allocator does
// it. tests/device/memory_test.cpp holds it to what the allocator counts.
//
// Not counted: workspaces of cublasLt, and copies that device/product.hpp makes of matrices whose
// rows do not begin at 16 bytes (there are none where widths are multiples of 8). Blocks whose
// norms come after the sums (some of OPT's) are counted as if they came before. Tensors of more
// than 1 MiB may take up to 1 MiB more than is counted: what is left of a piece is not always cut
// off.

#include <cstdint>
#include <span>

#include "method/device_pass_memory.hpp"
#include "method/settings.hpp"
#include "model/config.hpp"
#include "model/family.hpp"

namespace bitmill {

struct DeviceBlockBytes {
  // Of the student, without what is learned; with rotary tables, and with what is kept for packing.
  int64_t operands = 0;
  int64_t unit = 0;     // the most that the gradient of one sample needs beside its three tensors
  int64_t weights = 0;  // dense, with norms and biases; with rotary tables
  int64_t forward = 0;  // the most that the dense forward pass of one sample needs beside its input
  // Within unit and forward: attention_scratch_bytes() (model/device_attention.hpp).
  int64_t attention_scratch = 0;
};

// Of a block of these linears, all quantized. `tokens` of a sample; `element_bytes`: 2 or 4. The
// inputs' statistics of the first turn are part of `forward`, their sums are not.
DeviceBlockBytes device_block_bytes(const ModelConfig& config, std::span<const LinearShape> linears,
                                    const MethodSettings& method, int64_t tokens,
                                    int64_t element_bytes);

}  // namespace bitmill
