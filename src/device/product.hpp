#pragma once
// Matrix products on a GPU, by cublasLt. The algorithm for a shape is chosen once, from cublasLt's
// list, among those that give the same bits at every call: none that splits k or leaves the sum to
// a reduction, none that needs more than 32 MiB of workspace or an address at more than a multiple
// of 16 bytes. So a product's bits depend on its shape, on how the matrices lie (by rows or by
// columns, their strides), its types and the kind of device alone. One handle per device, until the
// process ends. Workspace is the caching allocator's, and so in the order of the stream.

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace bitmill {

// out [m, n] = a [m, k] b [k, n], plus out's old value where `accumulate`. All on one GPU; in each
// of the three, one dimension has stride 1 (a transposed view is fine). Rows that do not begin at a
// multiple of 16 bytes are copied to such a place first. a and b: float32 both or bfloat16 both;
// out: that type, or float32. Adds up in float32 (no TF32), rounds once. Queued on the calling
// thread's stream; no gradient. DeviceError with cublasLt's words and the shape.
void product_into(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                  bool accumulate = false);
// The same into a new tensor of a's type.
at::Tensor product(const at::Tensor& a, const at::Tensor& b);
// The same into a new tensor of float32.
at::Tensor product_in_float32(const at::Tensor& a, const at::Tensor& b);

// The algorithms chosen so far, a line each: device, types, shapes, strides, and cublasLt's
// numbers.
std::string chosen_algorithms();

// Ranks that compute together use one algorithm for each shape: one of them chooses, and the others
// keep to its choice (pipeline/ranks/agreed_products.hpp). Of one GPU, and of this process:

// Whatever is multiplied from here on, its algorithm is chosen anew.
void forget_algorithms(at::Device gpu);
// The choices since then, as bytes for another process of the same program, with the same libraries
// and a GPU of the same kind.
std::string algorithm_table(at::Device gpu);
// After work whose results nobody wants: gives back what libtorch's allocator keeps of its memory,
// and begins DeviceMemory::peak_bytes anew.
void clear_away(at::Device gpu);
// These choices count, and no other is made: a product of another shape is a DeviceError. So is an
// algorithm that cublasLt does not know here. No product may be under way in another thread.
void keep_to_algorithms(at::Device gpu, std::string_view table);
// Ends one keep_to_algorithms(): shapes that are new have their algorithms chosen again.
void choose_algorithms_freely(at::Device gpu);

}  // namespace bitmill
